package store_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

func TestPublications(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s store.Store
		if got := s.Current().Publications(); len(got) != 0 {
			t.Errorf("the zero store has publications: %v", got)
		}
		start := time.Now().UTC()
		first := load("name: a\n---\nname: b\n", nil)
		s.Publish(first)
		old := s.Current()
		s.Publish(first) // changes nothing
		time.Sleep(1500 * time.Millisecond)
		second := load("name: b\nlabels: {x: y}\n---\nname: c\n", first)
		s.Publish(second)
		rejected := load("name: b\nlabels: {x: y}\n---\nname: c\nhostPID: 1\n", second)
		s.Publish(rejected)
		none := []string{}
		want := []store.Publication{
			{
				Generation: 3, Digest: second.Digest, Time: start.Add(time.Second), Sidecars: 2, Rejections: 1, Stale: 1,
				Added: none, Changed: none, Removed: none,
			},
			{
				Generation: 2, Digest: second.Digest, Time: start.Add(time.Second), Sidecars: 2,
				Added: []string{"c:latest"}, Changed: []string{"b:latest"}, Removed: []string{"a:latest"},
			},
			{
				Generation: 1, Digest: first.Digest, Time: start, Sidecars: 2,
				Added: []string{"a:latest", "b:latest"}, Changed: none, Removed: none,
			},
		}
		if diff := cmp.Diff(want, s.Current().Publications()); diff != "" {
			t.Error(diff)
		}
		if got := old.Publications(); len(got) != 1 {
			t.Errorf("the old snapshot has changed: %v", got)
		}
	})
}

// TestManyPublications verifies that neither the publications nor their refs accumulate.
func TestManyPublications(t *testing.T) {
	t.Parallel()
	var s store.Store
	var set *conf.Set
	var many strings.Builder
	for i := range 130 {
		fmt.Fprintf(&many, "---\nname: s-%03d\n", i)
	}
	for i := range 60 {
		set = load(fmt.Sprintf("name: a\nlabels: {i: \"%d\"}\n", i), set)
		s.Publish(set)
	}
	s.Publish(load(many.String(), set))
	got := s.Current().Publications()
	if len(got) != 50 || got[0].Generation != 61 || got[49].Generation != 12 {
		t.Errorf("%d publications: %v", len(got), got)
	}
	if latest := got[0]; len(latest.Added) != 100 || latest.Omitted != 30 || latest.Added[99] != "s-099:latest" {
		t.Errorf("added %v, and %d more", latest.Added, latest.Omitted)
	}
}
