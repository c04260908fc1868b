package server_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/mutate"
)

// reviewsOf returns the reviews of each sidecar in the API that has some.
func (f *statusFixture) reviewsOf(t *testing.T) map[string]map[mutate.Verdict]int {
	t.Helper()
	var listing struct {
		Items []struct {
			Ref     string
			Reviews []struct {
				mutate.Verdict
				Count int
			}
		}
	}
	if err := json.Unmarshal(f.get("/api/v1/sidecars").Body.Bytes(), &listing); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]map[mutate.Verdict]int)
	for _, item := range listing.Items {
		for _, r := range item.Reviews {
			if all[item.Ref] == nil {
				all[item.Ref] = make(map[mutate.Verdict]int)
			}
			all[item.Ref][r.Verdict] = r.Count
		}
	}
	return all
}

// TestReviewsOfSidecars verifies that a review counts for each sidecar in service that it requests, whatever the reason
// is, and that a pod that was injected before does not count.
func TestReviewsOfSidecars(t *testing.T) {
	t.Parallel()
	f := newStatusFixture(t)
	serve(t, f.snapshots, sidecars+"---\nname: restricted\nallowedNamespaces: [none]\n")
	for _, request := range []string{
		"logger:v1", "logger:v1, logger:v1", "logger:v1,missing:v1", "missing:v1", "restricted,logger:v1",
		"logger:v1,clash:v1", "none", ",",
	} {
		review(t, f.Webhook, podReview(podRequesting(request, "app")))
	}
	review(t, f.Webhook, podReview(injectedPod(f.injector, "late", `{"name":"app-logs"}`)))
	review(t, f.Webhook, podReview(injectedPod(f.injector, "late", "")))
	for n := range 1000 {
		review(t, f.Webhook, podReview(podRequesting(fmt.Sprintf("missing-%d", n), "app")))
	}
	notAllowed := mutate.Verdict{Outcome: mutate.Skipped, Reason: mutate.ReasonNotAllowed}
	conflict := mutate.Verdict{Outcome: mutate.Denied, Reason: mutate.ReasonConflict}
	want := map[string]map[mutate.Verdict]int{
		"clash:v1":          {conflict: 1},
		"restricted:latest": {notAllowed: 1},
		"logger:v1": {
			{Outcome: mutate.Injected, Reason: mutate.ReasonInjected}:      2,
			{Outcome: mutate.Skipped, Reason: mutate.ReasonUnknownSidecar}: 1,
			notAllowed: 1, conflict: 1,
		},
	}
	if diff := cmp.Diff(want, f.reviewsOf(t)); diff != "" {
		t.Error(diff)
	}
}

// TestReviewsOfRemovedSidecars verifies that a reload drops the counts of sidecars that it removed.
func TestReviewsOfRemovedSidecars(t *testing.T) {
	t.Parallel()
	f := newStatusFixture(t)
	serve(t, f.snapshots, sidecars)
	review(t, f.Webhook, podReview(podRequesting("logger:v1", "app")))
	f.metrics.Reloaded(true, 0)
	if got := len(f.reviewsOf(t)); got != 1 {
		t.Errorf("want reviews of 1 sidecar, got %d", got)
	}
	serve(t, f.snapshots, "name: other\n")
	f.metrics.Reloaded(true, 0)
	serve(t, f.snapshots, sidecars)
	if got := f.reviewsOf(t); len(got) != 0 {
		t.Errorf("the counts of a removed sidecar were kept: %v", got)
	}
}
