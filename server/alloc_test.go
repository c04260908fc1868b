//go:build !race

package server_test

import "testing"

// A review of the recorded Deployment pod stays within its budget of allocations. The race
// detector allocates by itself, so this file is left out there.
//
//nolint:paralleltest // AllocsPerRun counts those of the whole process
func TestAllocations(t *testing.T) {
	c := newContender(t, "ours", benchWebhook(t))
	if got := testing.AllocsPerRun(200, c.serve); got > 90 {
		t.Errorf("want at most 90 allocations, got %v", got)
	}
}
