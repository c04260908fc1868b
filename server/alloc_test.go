//go:build !race

package server_test

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// TestAllocations limits the allocations of a review of a Deployment pod. The race detector allocates too, so
// this file is excluded then.
//
//nolint:paralleltest // AllocsPerRun counts those of the whole process
func TestAllocations(t *testing.T) {
	c := newContender(t, "ours", benchWebhook(t))
	if got := testing.AllocsPerRun(200, c.serve); got > 42 {
		t.Errorf("want at most 42 allocations, got %v", got)
	}
}

// Metadata that the validator does not use takes no memory beyond a few copies of the body.
//
//nolint:paralleltest // it counts the allocations of the whole process
func TestAllocationsOfUnusedMetadata(t *testing.T) {
	const size = 2 << 20
	empties := "[" + strings.TrimSuffix(strings.Repeat("{},", size/3), ",") + "]"
	for name, metadata := range map[string]string{
		"managedFields":   `"managedFields":` + empties,
		"ownerReferences": `"ownerReferences":` + empties,
		"finalizers":      `"finalizers":[` + strings.TrimSuffix(strings.Repeat(`"",`, size/3), ",") + "]",
		"unknown":         `"x":` + empties,
	} {
		t.Run(name, func(t *testing.T) {
			object := strings.Replace(labelled("new", "injector", "name: new\n"), `"metadata":{`,
				`"metadata":{`+metadata+",", 1)
			v, body := newValidator(t), changing("UPDATE", "new", "null", object)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := review(t, v, body)
			runtime.ReadMemStats(&after)
			if w.Code != http.StatusOK {
				t.Fatal(w.Body)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 8*size {
				t.Errorf("want at most %d bytes, got %d", 8*size, got)
			}
		})
	}
}
