//go:build torture

package torture_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// document is a hostile definition.
type document struct {
	name, text string
	short      bool // also runs with -short
}

// wide is a pattern of 5.6 KB whose program has millions of instructions.
var wide = strings.Repeat("(?:a*b*c*){1000}", 350)

// parameterized returns a definition with one parameter that an argument uses.
func parameterized(ref, parameter, args string) string {
	return fmt.Sprintf("name: %s\nparameters: {a: %s}\ncontainers: [{name: c, image: i, args: [%s]}]\n",
		ref, parameter, args)
}

// documents returns hostile definitions. Each fits into a ConfigMap, and none defines a ref that honest pods
// request.
func documents() []document {
	const size = 900 << 10
	fill := func(head, piece string) string { return head + strings.Repeat(piece, size/len(piece)) }
	nested := func(open, end string, count int) string {
		return "name: x:v1\ncontainers: " + strings.Repeat(open, count) + strings.Repeat(end, count) + "\n"
	}
	var patterns, chain, anchors strings.Builder
	for n := range 125 {
		ref := fmt.Sprintf("x%d:v1", n)
		patterns.WriteString(parameterized(ref, fmt.Sprintf("{default: a, pattern: %q}", wide), "'${a}'") + "---\n")
	}
	for n := range 900 {
		fmt.Fprintf(&chain, "name: x%d:v1\ninherits: x%d:v1\nenv: [{name: E%d, value: %q}]\n---\n",
			n, max(n-1, 0), n, strings.Repeat("y", 900))
	}
	fmt.Fprintf(&anchors, "name: x:v1\na0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for n := 1; n < 12; n++ {
		fmt.Fprintf(&anchors, "a%d: &a%d [%s]\n", n, n, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", n-1), 9), ","))
	}
	return []document{
		{"pattern", parameterized("x:v1", fmt.Sprintf("{default: a, pattern: %q}", wide), "'${a}'"), true},
		{"pattern in 125 documents", patterns.String(), true},
		{
			"pattern and default",
			parameterized("x:v1", fmt.Sprintf("{default: %s, pattern: %q}", strings.Repeat("abc", 5461), wide), "'${a}'"),
			true,
		},
		{
			"narrow pattern and default",
			parameterized("x:v1", fmt.Sprintf("{default: %s, pattern: %q}",
				strings.Repeat("a", 16<<10), strings.Repeat("(?:a?b?c?){1000}", 100)), "'${a}'"),
			false,
		},
		{
			"pattern class",
			parameterized("x:v1", fmt.Sprintf("{default: a, pattern: %q}",
				strings.Repeat(`(?i:[\p{L}]){1000}`, 300)), "'${a}'"),
			false,
		},
		{
			"alias bytes",
			"name: x:v1\nx: &a " + strings.Repeat("z", 50_000) + "\ny: [" + strings.Repeat("*a,", 20_000) + "]\n",
			true,
		},
		{"alias tree", anchors.String(), true},
		{
			"alias maps",
			"name: x:v1\nx: &a {" + strings.Repeat("k", 50_000) + ": v}\ny: [" + strings.Repeat("{<<: *a},", 20_000) + "]\n",
			false,
		},
		{
			"alias in env",
			"name: x:v1\ncontainers:\n- name: c\n  image: i\n  args: [&a " + strings.Repeat("z", 50_000) +
				strings.Repeat(", *a", 20_000) + "]\n",
			false,
		},
		{
			"defaults in places",
			parameterized("x:v1", "{default: "+strings.Repeat("z", 100_000)+"}", "'"+strings.Repeat("${a}", 50_000)+"'"),
			false,
		},
		{
			"longest defaults in places",
			parameterized("x:v1", "{default: "+strings.Repeat("z", 16<<10)+"}", "'"+strings.Repeat("${a}", 200_000)+"'"),
			true,
		},
		{"nested lists", nested("[", "]", 200_000), false},
		{"nested maps", nested("{a: ", "}", 100_000), false},
		{"nested dashes", "name: x:v1\ncontainers:\n" + strings.Repeat("- ", 200_000) + "a\n", false},
		{"empty containers", fill("name: x:v1\ncontainers:\n", "- {}\n"), true},
		{"empty env", fill("name: x:v1\nenv:\n", "- {}\n"), false},
		{"empty env in one line", fill("name: x:v1\nenv: [", "{},") + "]\n", true},
		{"empty lists in one line", fill("name: x:v1\nx: [", "[],") + "]\n", false},
		{"short scalars", fill("name: x:v1\nx: [", "a,") + "]\n", false},
		{"empty documents", fill("", "---\n"), false},
		{"unknown keys", "name: x:v1\n" + strings.Repeat("k: v\n", size/5), false},
		{"comments", fill("name: x:v1\n", "#\n"), false},
		{"tags", fill("name: x:v1\nx:\n", "- !!binary a\n"), false},
		{"numbers", "name: x:v1\nparameters: {a: {type: int, max: " + strings.Repeat("9", size) + "}}\n", false},
		{"quantity", "name: x:v1\ncontainers: [{name: c, image: i, resources: {limits: {cpu: 1e999999999}}}]\n", false},
		{"inheritance chain", chain.String(), false},
		{"no YAML", fill("", "\x00\xff{[\"'&*!|>%@`"), false},
	}
}

// TestDocuments validates each document, saves it as a file, stores it as a ConfigMap, and restarts the
// injector with it. Other edits must still be served, and SIGTERM must end the process.
func TestDocuments(t *testing.T) {
	for _, d := range documents() {
		t.Run(d.name, func(t *testing.T) {
			if testing.Short() && !d.short {
				t.Skip("skipped with -short")
			}
			testDocument(t, d.text)
		})
	}
}

func testDocument(t *testing.T, text string) {
	t.Helper()
	const within = 10 * time.Second
	api := newAPIServer(t)
	flags := api.flags(t)
	i := start(t, options{flags: flags})
	client := i.hostile(t, true)
	i.under(t, func(ctx context.Context) int {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		if code, _, err := i.post(ctx, client, "/validate?timeout=10s", configMapReview(t, "hostile", text)); err != nil {
			t.Errorf("/validate: status %d, %v", code, err)
		}
		if !i.ended() {
			i.write(t, "hostile.yaml", text)
			i.write(t, "logger.yaml", definition(refLogger, "logger:2"))
			i.expect(t, within, refLogger, "logger:2")
		}
		if !i.ended() {
			api.apply("hostile", text)
			api.apply("other", definition("other:v1", "other:1"))
			i.expect(t, within, "other:v1", "other:1")
		}
		return 3
	})
	if !t.Failed() {
		i.terminate(t, within)
		again := start(t, options{quiet: true, flags: flags, files: map[string]string{
			"hostile.yaml": text, "logger.yaml": definition(refLogger, "logger:3"),
		}})
		again.expect(t, within, refLogger, "logger:3")
		again.expect(t, within, "other:v1", "other:1")
	}
}

// TestManyDocuments starts an injector with the maximum number of hostile ConfigMaps of the maximum size.
func TestManyDocuments(t *testing.T) {
	api := newAPIServer(t)
	const count = 20
	texts := []string{
		"name: x:v1\nenv:\n" + strings.Repeat("- {}\n", 180_000),
		"name: x:v1\n" + strings.Repeat("k: v\n", 180_000),
		"name: x:v1\nx: [" + strings.Repeat("{a: b}, ", 110_000) + "]\n",
	}
	for n := range count {
		api.apply(fmt.Sprintf("hostile%d", n), texts[n%len(texts)])
	}
	api.apply("other", definition("other:v1", "other:1"))
	i := start(t, options{flags: api.flags(t)})
	i.expect(t, patience, "other:v1", "other:1")
	i.under(t, func(context.Context) int {
		edits := sized(5, 2)
		begin := time.Now()
		for n := range edits {
			api.apply("other", definition("other:v1", image(n)))
			i.expect(t, patience, "other:v1", image(n))
		}
		i.note = fmt.Sprintf("%.1f s per edit", time.Since(begin).Seconds()/float64(edits))
		return count
	})
}

// TestValues checks that reviews with long parameter values stay cheap for every pattern.
func TestValues(t *testing.T) {
	patterns := map[string]string{
		"w": strings.Repeat("(?:a*b*c*){1000}", 30),
		"x": "(?:a*b*c*){1000}",
		"y": "(?:a*b*c*){100}",
		"z": "(?:a|aa|aaa|b)*c?",
	}
	files := map[string]string{"logger.yaml": definition(refLogger, "logger:1")}
	for name, pattern := range patterns {
		files[name+".yaml"] = parameterized(name+":v1", fmt.Sprintf("{default: a, pattern: %q}", pattern), "'${a}'")
	}
	files["many.yaml"] = parameterized("many:v1", "{default: a}", "'"+strings.Repeat("${a}", 3000)+"'")
	i := start(t, options{files: files})
	client := i.hostile(t, true)
	i.under(t, func(ctx context.Context) int {
		const pods = 4
		begin := i.cpu()
		for _, file := range slices.Sorted(maps.Keys(files)) {
			ref := strings.TrimSuffix(file, ".yaml") + ":v1"
			body := podReview(ref, fmt.Sprintf(`,"injector.tumblr.com/param.a":%q`, strings.Repeat("abc", 5461)), honestPod)
			ctx, cancel := context.WithTimeout(ctx, honestTimeout)
			var failed atomic.Int64
			parallel(pods, func(int) {
				if _, _, err := i.post(ctx, client, "/mutate?timeout=10s", body); err != nil {
					failed.Add(1)
				}
			})
			cancel()
			if failed := failed.Load(); failed > 0 {
				t.Errorf("%s: %d of %d reviews were not answered in time", ref, failed, pods)
			}
		}
		if used := i.cpu() - begin; used > 6*time.Second {
			t.Errorf("%d reviews used %s of CPU time", pods*len(files), used)
		}
		return pods * len(files)
	})
}
