package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/mutate"
)

// annotated are namespaces by name, with their requests. Nothing is known of the one named away, and
// the one named slow takes as long as it may.
type annotated struct {
	requests map[string]string
	looks    atomic.Int32
	bound    atomic.Int64 // until when the latest look may take, as Unix nanoseconds; 0 if without end
}

var errAway = errors.New("cannot get namespace away: connection refused")

func (a *annotated) Default(ctx context.Context, namespace string) (string, bool, error) {
	a.looks.Add(1)
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

// in is a review of the creation of a pod in a namespace.
func in(namespace, pod string) string {
	return strings.Replace(create(pod), `"namespace":"team"`, `"namespace":"`+namespace+`"`, 1)
}

const silent = `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"app"}]}}`

func TestNamespaceDefaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body                   string
		allowed                bool
		outcome, reason        string
		request, by            string
		level, detail, warning string
		looks                  int32
	}{
		"default":         {in("team", silent), true, "injected", "namespace_default", "logger:v1", "namespace", "info", "", "", 1},
		"none there":      {in("other", silent), true, "skipped", "no_annotation", "", "", "debug", "", "", 1},
		"opted out there": {in("out", silent), true, "skipped", "opted_out", "none", "namespace", "debug", "", "", 1},
		"unknown there": {
			in("typo", silent), true, "skipped", "unknown_sidecar", "loger", "namespace", "warn",
			`of namespace "typo": there is no sidecar`, `of namespace "typo": there is no sidecar`, 1,
		},
		"conflict": {
			in("clash", silent), false, "denied", "conflict", "clash:v1", "namespace", "info",
			`of namespace "clash": sidecar clash:v1 does not fit`, `of namespace "clash": sidecar clash:v1 does not fit`, 1,
		},
		"cannot be told": {
			in("away", silent), true, "skipped", "namespace_unavailable", "", "", "warn",
			`the lookup of namespace "away" failed: ` + errAway.Error(), "admitted without sidecars: namespace_unavailable: the pod has no annotation injector.tumblr.com/request", 1,
		},
		"own":         {in("away", asking("logger:v1", "app")), true, "injected", "injected", "logger:v1", "pod", "info", "", "", 0},
		"own none":    {in("team", asking("none", "app")), true, "skipped", "opted_out", "none", "pod", "debug", "", "", 0},
		"own unknown": {in("team", asking("loger", "app")), true, "skipped", "unknown_sidecar", "loger", "pod", "warn", "there is no sidecar", "there is no sidecar", 0},
		"ignored":     {in("kube-system", silent), true, "skipped", "ignored_namespace", "", "", "debug", "", "", 0},
		"no pod":      {strings.Replace(in("team", silent), "CREATE", "DELETE", 1), true, "skipped", "not_a_pod_create", "", "", "debug", "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespaces := &annotated{requests: map[string]string{
				"team": "logger:v1", "out": "none", "typo": "loger", "clash": "clash:v1", "kube-system": "logger:v1",
			}}
			i := newInjectorIn(t, namespaces, policy(), zerolog.DebugLevel)
			r := answered(t, review(t, i, c.body).Body.Bytes()).Response
			if r.Allowed != c.allowed || r.AuditAnnotations["outcome"] != c.outcome || r.AuditAnnotations["reason"] != c.reason || (r.Patch != nil) != (c.outcome == "injected") {
				t.Errorf("the answer is %+v", r)
			}
			if warnings := strings.Join(r.Warnings, ""); (warnings == "") != (c.warning == "") || !strings.Contains(warnings, c.warning) {
				t.Errorf("the warnings are %q, want %q", warnings, c.warning)
			}
			if looks := namespaces.looks.Load(); looks != c.looks {
				t.Errorf("the namespace was looked at %d times, want %d", looks, c.looks)
			}
			event := i.log.events(t)[0]
			detail, _ := event["detail"].(string)
			if !strings.Contains(detail, c.detail) || (detail == "") != (c.detail == "") {
				t.Errorf("the detail is %q, want %q", detail, c.detail)
			}
			got := fmt.Sprint(event["level"], event["outcome"], event["reason"], event["request"], event["requested_by"], event["generation"])
			if diff := cmp.Diff(fmt.Sprint(c.level, c.outcome, c.reason, c.request, c.by, 1), got); diff != "" {
				t.Errorf("the log (-want +got):\n%s", diff)
			}
			verdict := mutate.Verdict{Outcome: mutate.Outcome(c.outcome), Reason: mutate.Reason(c.reason)}
			if err := testutil.GatherAndCompare(i.registry, strings.NewReader(counts(map[mutate.Verdict]int{verdict: 1})), "sidecar_injector_reviews_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A namespace that cannot be looked at costs no pod: the answer is there before the API server has
// given up waiting for it.
func TestNamespaceLookInTime(t *testing.T) {
	t.Parallel()
	namespaces := new(annotated)
	i := newInjectorIn(t, namespaces, policy(), zerolog.InfoLevel)
	w := httptest.NewRecorder()
	r := ask(t, strings.NewReader(in("slow", silent)))
	r.URL.RawQuery = "timeout=1s"
	start := time.Now()
	i.ServeHTTP(w, r)
	if response := answered(t, w.Body.Bytes()).Response; !response.Allowed || response.AuditAnnotations["reason"] != "namespace_unavailable" {
		t.Errorf("the answer is %+v", response)
	}
	if bound := time.Unix(0, namespaces.bound.Load()).Sub(start); bound < time.Second/2 || bound > 9*time.Second/10 {
		t.Errorf("of a second, the look may take %s", bound)
	}
}

// Who does not say how long they wait gets the bound that the namespaces have by themselves.
func TestNamespaceLookWithoutDeadline(t *testing.T) {
	t.Parallel()
	namespaces := new(annotated)
	i := newInjectorIn(t, namespaces, policy(), zerolog.InfoLevel)
	r := ask(t, strings.NewReader(in("team", silent)))
	r.URL.RawQuery = ""
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	if reason := answered(t, w.Body.Bytes()).Response.AuditAnnotations["reason"]; reason != "no_annotation" || namespaces.bound.Load() != 0 {
		t.Errorf("reason %s, bound %d", reason, namespaces.bound.Load())
	}
}
