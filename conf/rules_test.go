package conf_test

import (
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
)

// A definition may not have annotations of the injector itself.
func TestOwnKeys(t *testing.T) {
	t.Parallel()
	rules := conf.Rules{AnnotationNamespace: "inject.example"}
	documents := conf.Split(file("a.yaml", 0), []byte(`name: a
annotations: {inject.example/request: b, inject.example.org/fine: x, a/inject.example: x}
labels:
  inject.example/status: injected
extendAnnotations: {inject.example/status: b}
`))
	set := load(t, rules, documents, nil)
	if len(set.Rejections) != 1 {
		t.Fatalf("%d rejections", len(set.Rejections))
	}
	want := "file conf/a.yaml:2: annotations[inject.example/request]: Forbidden: inject.example is the injector's own; " +
		"file conf/a.yaml:4: labels[inject.example/status]: Forbidden: inject.example is the injector's own; " +
		"file conf/a.yaml:5: extendAnnotations[inject.example/status]: Forbidden: inject.example is the injector's own"
	if got := set.Rejections[0].Errors.Error(); got != want {
		t.Errorf("got %s", strings.ReplaceAll(got, "; ", "\n"))
	}
	// Documents are parsed again if the rules change.
	if other := conf.Load(documents, set); len(other.Rejections) > 0 || len(other.Sidecars) != 1 {
		t.Errorf("without the rule: %v", other.Rejections)
	}
	if again := load(t, rules, documents, conf.Load(documents, nil)); len(again.Rejections) != 1 {
		t.Errorf("with the rule again: %v", again.Rejections)
	}
}

// load calls Rules.Load, and fails the test on errors.
func load(tb testing.TB, rules conf.Rules, documents []conf.Document, previous *conf.Set) *conf.Set {
	tb.Helper()
	set, err := rules.Load(tb.Context(), documents, previous)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// try calls Set.Try, and fails the test on errors.
func try(tb testing.TB, set *conf.Set, namespace, name string, documents []conf.Document) conf.Trial {
	tb.Helper()
	trial, err := set.Try(tb.Context(), namespace, name, documents)
	if err != nil {
		tb.Fatal(err)
	}
	return trial
}
