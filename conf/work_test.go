package conf_test

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s-sidecar-injector/conf"
)

// heap returns n documents of a key, made by a function of their index. They are not split, so that there is no limit.
func heap(n int, text func(int) string) []conf.Document {
	list := make([]conf.Document, n)
	for i := range list {
		origin := conf.Origin{Kind: conf.ConfigMap, Root: "sidecars/heap", Name: "k", Index: i}
		list[i] = conf.Document{Origin: origin, Content: []byte(text(i)), Line: i + 1}
	}
	return list
}

func plain(i int) string    { return fmt.Sprintf("name: c%d\n", i) }
func orphan(i int) string   { return fmt.Sprintf("name: c%d\ninherits: nobody%d\n", i, i) }
func wrong(i int) string    { return fmt.Sprintf("name: c%d\nx: 1\n", i) }
func nameless(i int) string { return fmt.Sprintf("x: %d\n", i) }

// linked inherits from the previous document.
func linked(i int) string {
	if i == 0 {
		return plain(0)
	}
	return fmt.Sprintf("name: c%d\ninherits: c%d\n", i, i-1)
}

// ring returns documents of which each inherits from the next one, and the last one from the first one.
func ring(n int) []conf.Document {
	return heap(n, func(i int) string { return fmt.Sprintf("name: c%d\ninherits: c%d\n", i, (i+1)%n) })
}

// wide returns a base and its heir with n variables each.
func wide(n int) []conf.Document {
	return heap(2, func(document int) string {
		var text strings.Builder
		fmt.Fprintf(&text, "name: w%d\n%senv:\n", document, []string{"", "inherits: w0\n"}[document])
		for i := range n {
			fmt.Fprintf(&text, "- name: A%d\n", document*n/2+i)
		}
		return text.String()
	})
}

// The documents of one author must not delay the others: a dry run with eight times as many documents takes about
// eight times as long.
//
//nolint:paralleltest // it measures the CPU time of the whole process
func TestWorkIsLinear(t *testing.T) {
	reload := func(versions ...[]conf.Document) func() {
		var set *conf.Set
		for _, documents := range versions {
			set = conf.Load(documents, set)
		}
		return func() { try(t, set, "sidecars", "other", inMap("other", "name: other\n")) }
	}
	for name, prepare := range map[string]func(n int) func(){
		"chain":          func(n int) func() { return reload(heap(n, linked)) },
		"missing bases":  func(n int) func() { return reload(heap(n, orphan)) },
		"ring":           func(n int) func() { return reload(ring(n)) },
		"wide":           func(n int) func() { return reload(wide(n)) },
		"wrong":          func(n int) func() { return reload(heap(n, wrong)) },
		"went wrong":     func(n int) func() { return reload(heap(n, plain), heap(n, wrong)) },
		"lost its names": func(n int) func() { return reload(heap(n, plain), heap(n, nameless)) },
	} {
		t.Run(name, func(t *testing.T) {
			const n, more, most = 625, 8, 24 // halfway, by factors, between 8 and its square
			small, large := prepare(n), prepare(more*n)
			var ratio float64
			for range 5 {
				ratio = float64(cost(large)) / float64(cost(small))
				t.Logf("%.1f", ratio)
				if ratio <= most {
					return
				}
			}
			t.Errorf("%d times the documents cost %.1f times as much, want %d at most", more, ratio, most)
		})
	}
}

// cost returns the minimum CPU time of some work, without garbage collection.
func cost(work func()) time.Duration {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	best := time.Duration(1<<63 - 1)
	for range 3 {
		runtime.GC()
		before := used()
		work()
		best = min(best, used()-before)
	}
	return best
}

// used returns the CPU time of this process.
func used() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkTry is a dry run of a small ConfigMap next to a large one.
func BenchmarkTry(b *testing.B) {
	other := inMap("other", "name: other\n")
	for name, text := range map[string]func(int) string{"chain": linked, "missing bases": orphan} {
		for _, n := range []int{5000, 10000, 20000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				set := conf.Load(heap(n, text), nil)
				for b.Loop() {
					try(b, set, "sidecars", "other", other)
				}
			})
		}
	}
}

// BenchmarkLoad loads 1,000 sidecars with two containers each.
// After an edit of its base, an heir is merged once, not by each later load, also if its documents were released.
func TestHeirIsMergedOnce(t *testing.T) {
	t.Parallel()
	list := slices.Concat(inMap("base", "name: base\n"), inMap("heir", "name: heir\ninherits: base\n"), inMap("other", ""))
	heir := func(set *conf.Set) *conf.Sidecar {
		return set.Sidecars[slices.IndexFunc(set.Sidecars, func(s *conf.Sidecar) bool { return s.Ref.Name == "heir" })]
	}
	var set *conf.Set
	load := func(name string, version int) {
		list = slices.DeleteFunc(list, func(d conf.Document) bool { return d.Origin.Root == "sidecars/"+name })
		list = append(list, inMap(name, fmt.Sprintf("name: %s\nlabels: {version: v%d}\n", name, version))...)
		set = conf.Load(list, set)
		set.Release(list)
	}
	load("other", 1)
	first := heir(set)
	load("base", 2)
	merged := heir(set)
	if merged == first {
		t.Fatal("the heir does not have the edit of its base")
	}
	for version := 3; version < 6; version++ {
		load("other", version)
		if heir(set) != merged {
			t.Fatalf("version %d of another document: the heir was merged again", version)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	documents := heap(1000, func(i int) string {
		return fmt.Sprintf(`name: s%d
containers:
- name: proxy
  image: proxy
  ports: [{containerPort: 80}]
  readinessProbe: {httpGet: {port: 80}}
  volumeMounts: [{name: v, mountPath: /v}]
- {name: logger, image: logger, resources: {limits: {cpu: 1}, requests: {cpu: 100m}}}
volumes: [{name: v, emptyDir: {}}]
`, i)
	})
	for b.Loop() {
		if set := conf.Load(documents, nil); len(set.Sidecars) != 1000 {
			b.Fatal(set.Rejections[0])
		}
	}
}

// BenchmarkReload loads 10,000 sidecars in 1,000 files, of which one has changed.
func BenchmarkReload(b *testing.B) {
	const files, perFile = 1000, 10
	var list []conf.Document
	for i := range files {
		var text strings.Builder
		for j := range perFile {
			fmt.Fprintf(&text, "---\nname: s%d-%d\ncontainers: [{name: c%d-%d, image: 'i:v1'}]\n", i, j, i, j)
		}
		list = append(list, documents(fmt.Sprintf("%04d.yaml", i), text.String())...)
	}
	set := conf.Load(list, nil)
	set.Release(list)
	for version := 0; b.Loop(); version++ {
		list[0].Content = fmt.Appendf(nil, "name: s0-0\nlabels: {version: v%d}\n", version)
		if set = conf.Load(list, set); len(set.Sidecars) != files*perFile {
			b.Fatal(set.Rejections[0])
		}
	}
}
