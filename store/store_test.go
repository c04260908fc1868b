package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// load returns the set of one file.
func load(content string, previous *conf.Set) *conf.Set {
	origin := conf.Origin{Root: "conf", Name: "a.yaml"}
	return conf.Load(conf.Split(origin, []byte(content)), previous)
}

func TestZeroStore(t *testing.T) {
	t.Parallel()
	var s store.Store
	snapshot := s.Current()
	if snapshot == nil {
		t.Fatal("the zero store has no snapshot")
	}
	if snapshot.Generation() != 0 || snapshot.Digest() != "" || snapshot.Len() != 0 || snapshot.Stale() != 0 {
		t.Errorf("the zero store holds %+v", snapshot)
	}
	if snapshot.Sidecar(conf.Ref{Name: "a", Version: "latest"}) != nil {
		t.Error("the zero store has a sidecar")
	}
	for range snapshot.Sidecars() {
		t.Error("the zero store yields a sidecar")
	}
	if rejections := slices.Collect(snapshot.Rejections()); len(rejections) != 0 {
		t.Errorf("the zero store yields rejections: %v", rejections)
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	var s store.Store
	publish := func(set *conf.Set, wantGeneration uint64, wantPublished bool) {
		t.Helper()
		generation, published := s.Publish(set)
		if generation != wantGeneration || published != wantPublished {
			t.Errorf("published %v as %d, want %v as %d", published, generation, wantPublished, wantGeneration)
		}
		now := s.Current()
		if now.Generation() != generation || now.Publications()[0].Generation != generation {
			t.Errorf("the current snapshot is of generation %d, want %d", now.Generation(), generation)
		}
	}
	empty := conf.Load(nil, nil)
	publish(empty, 1, true) // even the first empty set says something
	publish(conf.Load(nil, nil), 1, false)
	first := load("name: a\n", empty)
	publish(first, 2, true)
	publish(load("{name: A}", first), 2, false)
	rejected := load("name: a\nhostPID: 1\n", first)
	publish(rejected, 3, true) // the same content, but stale
	publish(load("name: a\nhostPID: 1\n", rejected), 3, false)
	publish(load("name: a\n", rejected), 4, true)
	publish(conf.Load(nil, first), 5, true)
}

// A set with the same content replaces the current one, because a rejected document may have changed.
func TestPublishOfAnEqualSet(t *testing.T) {
	t.Parallel()
	documents := func(content string) []conf.Document {
		return conf.OfConfigMap(&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "x"}, Data: map[string]string{"key": content},
		})
	}
	var s store.Store
	first := conf.Load(documents("name: x\nbogus: 1\n"), nil)
	s.Publish(first)
	const edited = "name: x\nbogus: 1\nhostPID: true\n"
	if _, published := s.Publish(conf.Load(documents(edited), first)); published {
		t.Error("published a set that differs only in a rejected document")
	}
	for content, still := range map[string]int{"name: x\nbogus: 1\n": 0, edited: 1} {
		trial, err := s.Current().Try(t.Context(), "ns", "x", documents(content))
		if err != nil || len(trial.Still) != still || len(trial.Rejected) != 1-still {
			t.Errorf("%q: %d rejected, %d still, %v; want %d still", content, len(trial.Rejected), len(trial.Still), err, still)
		}
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	var s store.Store
	first := load("name: b\n---\nname: a:v2\n---\nname: a\n", nil)
	s.Publish(first)
	old := s.Current()
	second := load("name: b\nhostPID: 1\n---\nname: a:v2\n", first)
	s.Publish(second)
	now := s.Current()

	if old.Generation() != 1 || old.Len() != 3 || old.Stale() != 0 || old.Digest() != first.Digest {
		t.Errorf("the old snapshot has changed: %+v", old)
	}
	if now.Generation() != 2 || now.Len() != 2 || now.Stale() != 1 || now.Digest() != second.Digest {
		t.Errorf("the new snapshot is %+v", now)
	}
	if got := slices.Collect(now.Sidecars()); !slices.Equal(got, second.Sidecars) {
		t.Errorf("the sidecars are %v, want %v", got, second.Sidecars)
	}
	for _, want := range second.Sidecars {
		if now.Sidecar(want.Ref) != want {
			t.Errorf("%s is not found", want.Ref)
		}
	}
	if gone := (conf.Ref{Name: "a", Version: "latest"}); now.Sidecar(gone) != nil || old.Sidecar(gone) == nil {
		t.Errorf("%s must be in the old snapshot only", gone)
	}
	rejections := slices.Collect(now.Rejections())
	if len(rejections) != 1 || rejections[0].Errors.Error() != second.Rejections[0].Errors.Error() {
		t.Errorf("the rejections are %v, want %v", rejections, second.Rejections)
	}
	for range now.Sidecars() {
		break // an iterator can be left
	}
}

//nolint:paralleltest // testing.AllocsPerRun forbids it
func TestCurrentDoesNotAllocate(t *testing.T) {
	var s store.Store
	var snapshot *store.Snapshot
	current := func() { snapshot = s.Current() }
	if n := testing.AllocsPerRun(100, current); n != 0 {
		t.Errorf("Current of the zero store makes %v allocations", n)
	}
	set := load("name: a\n", nil)
	s.Publish(set)
	ref := set.Sidecars[0].Ref
	if n := testing.AllocsPerRun(100, func() { current(); snapshot.Sidecar(ref) }); n != 0 {
		t.Errorf("Current and Sidecar make %v allocations", n)
	}
}

const (
	readers      = 8
	publications = 100
)

// versions returns sets of three sidecars each, which have the same env value.
func versions() []*conf.Set {
	var list []*conf.Set
	for i := range publications {
		var content string
		for _, name := range []string{"a", "b", "c"} {
			content += fmt.Sprintf("---\nname: %s\nenv: [{name: VERSION, value: 'v%d'}]\n", name, i+1)
		}
		list = append(list, load(content, nil))
	}
	return list
}

// While a writer publishes, readers see consistent snapshots, and the generation never decreases.
func TestReadersAndWriter(t *testing.T) {
	t.Parallel()
	var s store.Store
	sets := versions()
	var group sync.WaitGroup
	for range readers {
		group.Go(func() { follow(t, &s) })
	}
	group.Go(func() {
		for i, set := range sets {
			if generation, published := s.Publish(set); !published || generation != uint64(i)+1 {
				t.Errorf("publication %d is generation %d, published %v", i+1, generation, published)
			}
		}
	})
	group.Wait()
}

// follow reads until the last publication.
func follow(t *testing.T, s *store.Store) {
	t.Helper()
	for last := uint64(0); last < publications; {
		snapshot := s.Current()
		if snapshot.Generation() < last {
			t.Errorf("the generation fell from %d to %d", last, snapshot.Generation())
			return
		}
		last = snapshot.Generation()
		if last == 0 {
			continue
		}
		want := fmt.Sprintf(`{"name":"VERSION","value":"v%d"}`, last)
		for sidecar := range snapshot.Sidecars() {
			if got := string(sidecar.Elements("env")[0].JSON); got != want || snapshot.Sidecar(sidecar.Ref) != sidecar {
				t.Errorf("generation %d is torn: %s has %s", last, sidecar.Ref, got)
				return
			}
		}
		if snapshot.Len() != 3 {
			t.Errorf("generation %d has %d sidecars, want 3", last, snapshot.Len())
			return
		}
	}
}

// Concurrent writers are serialized: each publication has its own generation.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	var s store.Store
	generations := make(chan uint64, publications)
	var group sync.WaitGroup
	for _, set := range versions() {
		group.Go(func() {
			if generation, published := s.Publish(set); published {
				generations <- generation
			}
		})
	}
	group.Wait()
	close(generations)
	seen := make(map[uint64]bool)
	for generation := range generations {
		if seen[generation] {
			t.Errorf("two publications are generation %d", generation)
		}
		seen[generation] = true
	}
	if len(seen) != publications || s.Current().Generation() != publications {
		t.Errorf("%d generations, the last %d; want %d", len(seen), s.Current().Generation(), publications)
	}
}
