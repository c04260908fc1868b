package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/mutate"
)

// annotated are the requests of namespaces by name. The lookup of namespace "away" fails, and that of "slow"
// waits until its context ends.
type annotated struct {
	requests map[string]string
	lookups  atomic.Int32
	bound    atomic.Int64 // the deadline of the last lookup in Unix nanoseconds; 0 if it has none
}

var errAway = errors.New("cannot get namespace away: connection refused")

func (a *annotated) Default(ctx context.Context, namespace string) (string, bool, error) {
	a.lookups.Add(1)
	a.bound.Store(0)
	if end, bounded := ctx.Deadline(); bounded {
		a.bound.Store(end.UnixNano())
	}
	switch namespace {
	case "away":
		return "", false, errAway
	case "slow":
		<-ctx.Done()
		return "", false, ctx.Err()
	}
	request, found := a.requests[namespace]
	return request, found, nil
}

// inNamespace returns a review of a new pod in a namespace.
func inNamespace(namespace, pod string) string {
	return strings.Replace(podReview(pod), `"namespace":"team"`, `"namespace":"`+namespace+`"`, 1)
}

const podWithoutRequest = `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"app"}]}}`

func TestNamespaceDefaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body                   string
		allowed                bool
		outcome, reason        string
		request, by            string
		level, detail, warning string
		lookups                int32
	}{
		"default": {
			inNamespace("team", podWithoutRequest), true, "injected", "namespace_default", "logger:v1", "namespace",
			"info", "", "", 1,
		},
		"none there": {
			inNamespace("other", podWithoutRequest), true, "skipped", "no_annotation", "", "",
			"debug", "", "", 1,
		},
		"opted out there": {
			inNamespace("out", podWithoutRequest), true, "skipped", "opted_out", "none",
			"namespace", "debug", "", "", 1,
		},
		"unknown there": {
			inNamespace("typo", podWithoutRequest), true, "skipped", "unknown_sidecar", "loger", "namespace", "warn",
			`of namespace "typo": there is no sidecar`, `of namespace "typo": there is no sidecar`, 1,
		},
		"conflict": {
			inNamespace("clash", podWithoutRequest), false, "denied", "conflict", "clash:v1", "namespace", "warn",
			`of namespace "clash": sidecar clash:v1 does not fit`, "", 1,
		},
		"lookup failed": {
			inNamespace("away", podWithoutRequest), true, "skipped", "namespace_unavailable", "", "", "warn",
			`the lookup of namespace "away" failed: ` + errAway.Error(),
			"admitted without sidecars: namespace_unavailable: the pod has no annotation " +
				"injector.tumblr.com/request", 1,
		},
		"own": {
			inNamespace("away", podRequesting("logger:v1", "app")), true, "injected", "injected", "logger:v1", "pod",
			"info", "", "", 0,
		},
		"own none": {
			inNamespace("team", podRequesting("none", "app")), true, "skipped", "opted_out", "none", "pod", "debug",
			"", "", 0,
		},
		"own unknown": {
			inNamespace("team", podRequesting("loger", "app")), true, "skipped", "unknown_sidecar", "loger", "pod",
			"warn", "there is no sidecar", "there is no sidecar", 0,
		},
		"ignored": {
			inNamespace("kube-system", podWithoutRequest), true, "skipped", "ignored_namespace", "", "",
			"debug", "", "", 0,
		},
		"no pod": {
			strings.Replace(inNamespace("team", podWithoutRequest), "CREATE", "DELETE", 1), true, "skipped",
			"not_a_pod_create", "", "", "debug", "", "", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespaces := &annotated{requests: map[string]string{
				"team": "logger:v1", "out": "none", "typo": "loger", "clash": "clash:v1", "kube-system": "logger:v1",
			}}
			i := newInjectorIn(t, namespaces, policy(), zerolog.DebugLevel)
			r := decodeResponse(t, review(t, i, c.body).Body.Bytes()).Response
			patched := c.outcome == "injected" || c.reason == "unknown_sidecar" // which is marked
			if r.Allowed != c.allowed || r.AuditAnnotations["outcome"] != c.outcome ||
				r.AuditAnnotations["reason"] != c.reason || (r.Patch != nil) != patched {
				t.Errorf("the response is %+v", r)
			}
			if warnings := strings.Join(r.Warnings, ""); (warnings == "") != (c.warning == "") ||
				!strings.Contains(warnings, c.warning) {
				t.Errorf("the warnings are %q, want %q", warnings, c.warning)
			}
			if lookups := namespaces.lookups.Load(); lookups != c.lookups {
				t.Errorf("the namespace was looked up %d times, want %d", lookups, c.lookups)
			}
			event := i.log.events(t)[0]
			detail, _ := event["detail"].(string)
			if !strings.Contains(detail, c.detail) || (detail == "") != (c.detail == "") {
				t.Errorf("the detail is %q, want %q", detail, c.detail)
			}
			got := fmt.Sprint(event["level"], event["outcome"], event["reason"], event["request"],
				event["requested_by"], event["generation"])
			if diff := cmp.Diff(fmt.Sprint(c.level, c.outcome, c.reason, c.request, c.by, 1), got); diff != "" {
				t.Errorf("the log (-want +got):\n%s", diff)
			}
			verdict := mutate.Verdict{Outcome: mutate.Outcome(c.outcome), Reason: mutate.Reason(c.reason)}
			if err := testutil.GatherAndCompare(i.registry,
				strings.NewReader(reviewCounts(map[mutate.Verdict]int{verdict: 1})),
				"sidecar_injector_reviews_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A lookup ends before the deadline of its review, so that the review is answered in time.
func TestNamespaceLookupInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newInjectorIn(t, new(annotated), policy(), zerolog.InfoLevel)
		w := httptest.NewRecorder()
		r := newRequest(t, strings.NewReader(inNamespace("slow", podWithoutRequest)))
		r.URL.RawQuery = "timeout=1s"
		start := time.Now()
		i.ServeHTTP(w, r)
		response := decodeResponse(t, w.Body.Bytes()).Response
		if !response.Allowed || response.AuditAnnotations["reason"] != "namespace_unavailable" {
			t.Errorf("the response is %+v", response)
		}
		if took := time.Since(start); took != 3*time.Second/4 {
			t.Errorf("the lookup took %s", took)
		}
	})
}

// A review without a timeout has 30 seconds, and the lookup ends before.
func TestNamespaceLookupWithoutTimeout(t *testing.T) {
	t.Parallel()
	namespaces := new(annotated)
	i := newInjectorIn(t, namespaces, policy(), zerolog.InfoLevel)
	r := newRequest(t, strings.NewReader(inNamespace("team", podWithoutRequest)))
	r.URL.RawQuery = ""
	w := httptest.NewRecorder()
	before := time.Now()
	i.ServeHTTP(w, r)
	const most = 30 * time.Second
	bound := time.Unix(0, namespaces.bound.Load())
	if reason := decodeResponse(t, w.Body.Bytes()).Response.AuditAnnotations["reason"]; reason != "no_annotation" ||
		bound.Before(before.Add(most/2)) || bound.After(before.Add(most)) {
		t.Errorf("reason %s, bound %s", reason, bound.Sub(before))
	}
}
