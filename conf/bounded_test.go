package conf_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s-sidecar-injector/conf"
)

// hookedContext calls a function each time that a load checks whether its context has ended.
type hookedContext struct {
	context.Context //nolint:containedctx // it is a context itself
	check           func()
}

func (c hookedContext) Err() error {
	c.check()
	return c.Context.Err()
}

// loadHooked loads a.yaml and b.yaml. While a load works on the first document, it calls the hook.
func loadHooked(t *testing.T, previous *conf.Set, mark string, hook func()) (*conf.Set, error) {
	t.Helper()
	documents := slices.Concat(
		documents("a.yaml", "name: a\nserviceAccountName: "+mark+"\n"),
		documents("b.yaml", "name: b\nserviceAccountName: "+mark+"\n"),
	)
	checks := 0
	return conf.Rules{}.Load(hookedContext{t.Context(), func() {
		if checks++; checks == 1 {
			hook()
		}
	}}, documents, previous)
}

// A document that panics is rejected. Its last valid version stays in service, and other documents are loaded.
func TestPanicOfOneDocument(t *testing.T) {
	t.Parallel()
	before, err := loadHooked(t, nil, "first", func() {})
	if err != nil {
		t.Fatal(err)
	}
	after, err := loadHooked(t, before, "second", func() { panic("s3cr3t") })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := accounts(after), "a=first stale,b=second"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	expect(t, "panic", after.Rejections, []string{"file conf/a.yaml: internal error: the code that loads it panicked"})
	panicked, ok := errors.AsType[*conf.PanicError](after.Rejections[0].Errors)
	if !ok || !strings.Contains(string(panicked.Stack), "bounded_test.go") {
		t.Errorf("got %v", after.Rejections[0].Errors)
	}
	if fixed, err := loadHooked(t, after, "second", func() {}); accounts(fixed) != "a=second,b=second" {
		t.Errorf("fixed: %s, %v", show(fixed), err)
	}
}

// A document whose load panics, at any step, is loaded by the next load, although nothing has changed.
func TestPanicIsNotKept(t *testing.T) {
	t.Parallel()
	// With what it inherits, the heir is validated with both values of a parameter.
	list := slices.Concat(documents("a.yaml", "name: a\ninherits: b\nvolumeMounts: [{name: w, mountPath: /w}]\n"),
		documents("b.yaml", "name: b\nparameters: {p: {enum: [w, x]}}\n"+
			"volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}]\n"+
			"volumeMounts: [{name: v, mountPath: '/${p}'}]\n"))
	rejected := 0
	for step := 1; ; step++ {
		checks := 0
		hooked := hookedContext{t.Context(), func() {
			if checks++; checks == step {
				panic("s3cr3t")
			}
		}}
		set, err := conf.Rules{}.Load(hooked, list, nil)
		if checks < step {
			break
		}
		if err != nil {
			continue // the panic was outside of the work on a document
		}
		rejected += len(set.Rejections)
		if next := conf.Load(list, set); len(next.Rejections) > 0 {
			t.Errorf("after a panic at step %d: %s", step, show(next))
		}
	}
	if rejected == 0 {
		t.Error("no panic was that of a document")
	}
}

// A panic outside of the work on a document is an error of the load.
func TestPanicOfALoad(t *testing.T) {
	t.Parallel()
	set, err := conf.Rules{}.Load(hookedContext{t.Context(), func() { panic("s3cr3t") }}, nil, nil)
	if set == nil || err != nil {
		t.Fatalf("without documents, there is nothing to check: %v, %v", set, err)
	}
	set, err = conf.Rules{}.Load(
		hookedContext{t.Context(), func() { panic("s3cr3t") }},
		documents("a.yaml", "name: a\n"),
		nil,
	)
	if _, ok := errors.AsType[*conf.PanicError](err); !ok || set != nil {
		t.Errorf("got %v, %v", set, err)
	}
}

// A document that takes too long is rejected in the same way.
func TestSlowDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before, _ := loadHooked(t, nil, "first", func() {})
		after, err := loadHooked(t, before, "second", func() { time.Sleep(time.Minute) })
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "slow", after.Rejections, []string{"file conf/a.yaml: takes longer than 5s to load"})
		checkServed(t, before, after)
		if fixed, err := loadHooked(t, after, "second", func() {}); accounts(fixed) != "a=second,b=second" {
			t.Errorf("fixed: %s, %v", show(fixed), err)
		}
	})
}

// A load ends with its context, after the current document.
func TestLoadIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	checks := 0
	var list []conf.Document
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		list = append(list, documents(name+".yaml", "name: "+name+"\n")...)
	}
	set, err := conf.Rules{}.Load(hookedContext{ctx, func() { checks++; cancel() }}, list, nil)
	if set != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", set, err)
	}
	if checks > 5 {
		t.Errorf("the load went on for %d checks", checks)
	}
	if _, err := new(conf.Set).Try(ctx, "sidecars", "m", inMap("m", "name: m\n")); !errors.Is(err, context.Canceled) {
		t.Errorf("the trial got %v", err)
	}
}
