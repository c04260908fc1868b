package server_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
)

// controller is the controller of a pod, among other owners.
const controller = `"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n","uid":"u0"},` +
	`{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-1","uid":"u2","controller":true}]`

// owned returns a review of a pod with owners that requests a sidecar.
func owned(owners, request string) string {
	return podReview(fmt.Sprintf(`{"metadata":{"generateName":"web-1-",`+
		`"annotations":{"injector.tumblr.com/request":%q},%s},"spec":{"containers":[{"name":"app"}]}}`, request,
		owners))
}

// recordedEvents sends one review and returns its Events.
func recordedEvents(t *testing.T, p *mutate.Policy, body string) []server.Event {
	t.Helper()
	i := newInjector(t, p)
	review(t, i, body)
	return i.events.recorded
}

func denying() *mutate.Policy {
	p := policy()
	p.OnUnknown, p.OnConflict = mutate.Deny, mutate.Deny
	return p
}

func admitting() *mutate.Policy {
	p := policy()
	p.OnUnknown, p.OnConflict = mutate.Admit, mutate.Admit
	return p
}

// Denials and unknown sidecars are recorded as Events on the owner.
func TestEvents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, request string
		policy        *mutate.Policy
		reason, word  string
	}{
		{"unknown, denied", "missing:v3", denying(), "PodDenied", "unknown_sidecar"},
		{"unknown, admitted", "missing:v3", admitting(), "SidecarNotInjected", "unknown_sidecar"},
		{"malformed, denied", "a b", denying(), "PodDenied", "bad_request_annotation"},
		{"conflict, denied", "clash:v1", denying(), "PodDenied", "conflict"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			body := owned(controller, c.request)
			want := []server.Event{{
				Namespace: "team",
				Owner: mutate.Owner{
					APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-1", UID: "u2",
					Controller: true,
				},
				Reason: c.reason, Message: c.word + ": " + message(t, c.policy, body),
			}}
			if diff := cmp.Diff(want, recordedEvents(t, c.policy, body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// No Event is recorded for other decisions, dry runs, and pods without a valid controller.
func TestNoEvents(t *testing.T) {
	t.Parallel()
	unknown := owned(controller, "missing")
	reference := func(members string) string {
		return owned(`"ownerReferences":[{`+members+`,"controller":true}]`, "missing")
	}
	for _, c := range []struct {
		name, body string
		policy     *mutate.Policy
	}{
		{"injected", owned(controller, "logger:v1"), denying()},
		{"opted out", owned(controller, "none"), denying()},
		{"malformed, admitted", owned(controller, "a b"), admitting()},
		{"conflict, admitted", owned(controller, "clash:v1"), admitting()},
		{"bad review", strings.Replace(unknown, `"containers":[{"name":"app"}]`, `"containers":7`, 1), denying()},
		{"dry run, denied", strings.Replace(unknown, `"operation":`, `"dryRun":true,"operation":`, 1), denying()},
		{"dry run, admitted", strings.Replace(unknown, `"operation":`, `"dryRun":true,"operation":`, 1), admitting()},
		{"no owner", owned(`"labels":{}`, "missing"), denying()},
		{"no controller", owned(`"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n","uid":"u0",`+
			`"controller":false}]`, "missing"), denying()},
		{"owner without a uid", reference(`"apiVersion":"v1","kind":"Node","name":"n"`), denying()},
		{"owner without a version", reference(`"kind":"Node","name":"n","uid":"u"`), denying()},
		{"owner with a long name", reference(`"apiVersion":"v1","kind":"Node","uid":"u","name":"` +
			strings.Repeat("n", 254) + `"`), denying()},
		{"owner with a long uid", reference(`"apiVersion":"v1","kind":"Node","name":"n","uid":"` +
			strings.Repeat("u", 1<<20) + `"`), denying()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if events := recordedEvents(t, c.policy, c.body); events != nil {
				t.Errorf("got %v", events)
			}
		})
	}
	if events := recordedEvents(t, denying(), strings.Replace(unknown, `"operation":`, `"dryRun":false,"operation":`,
		1)); len(events) != 1 {
		t.Errorf("dryRun false: got %v", events)
	}
}

// The message is short enough for the API.
func TestLongEventMessage(t *testing.T) {
	t.Parallel()
	var containers []string
	for i := range 20 {
		containers = append(containers,
			fmt.Sprintf(`{"name":%q,"ports":[{"containerPort":80,"hostPort":%d},{"containerPort":80,`+
				`"hostPort":%[2]d}]}`, strings.Repeat("€", 100)+fmt.Sprint(i), i+1))
	}
	body := strings.Replace(owned(controller, "wide:v1"), `{"name":"app"}`, strings.Join(containers, ","), 1)
	i := newInjectorOf(t, nil, denying(), "name: wide:v1\nhostNetwork: true\n", zerolog.InfoLevel)
	review(t, i, body)
	if len(i.events.recorded) != 1 {
		t.Fatalf("got %v", i.events.recorded)
	}
	text := i.events.recorded[0].Message
	if len(text) > 992 || len(text) < 900 || !utf8.ValidString(text) || !strings.HasPrefix(text, "conflict: ") ||
		!strings.HasSuffix(text, "...") {
		t.Errorf("%d bytes: %q", len(text), text)
	}
}
