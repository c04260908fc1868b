package conf_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"k8s-sidecar-injector/conf"
)

// opening is a file system that calls a function before it opens a file.
type opening struct {
	fs.FS
	before func(name string)
}

func (o opening) Open(name string) (fs.File, error) {
	o.before(name)
	return o.FS.Open(name)
}

// heirs are two files with an heir each, whose bases are in two other files.
func heirsOf(before func(name string)) []conf.Document {
	files := opening{fstest.MapFS{"sub/a.yaml": {Data: []byte("name: ba\n")}, "sub/b.yaml": {Data: []byte("name: bb\n")}}, before}
	return slices.Concat(
		conf.Split(file("a.yaml", 0), []byte("name: a\ninherits: sub/a.yaml\n"), files),
		conf.Split(file("b.yaml", 0), []byte("name: b\ninherits: sub/b.yaml\n"), files),
	)
}

// A document that panics is rejected. What it served stays, and others load.
func TestPanicOfOneDocument(t *testing.T) {
	t.Parallel()
	broken := false
	documents := heirsOf(func(name string) {
		if broken && name == "sub/a.yaml" {
			panic("s3cr3t")
		}
	})
	before := conf.Load(documents, nil)
	broken = true
	after := conf.Load(documents, before)
	if got := show(after); !strings.Contains(got, "a:latest from file conf/a.yaml, stale\n") || !strings.Contains(got, "b:latest from file conf/b.yaml\n") ||
		strings.Contains(got, "s3cr3t") {
		t.Errorf("got %s", got)
	}
	panicked, ok := errors.AsType[*conf.PanicError](after.Rejections[0].Errors)
	if !ok || !strings.Contains(string(panicked.Stack), "bounded_test.go") {
		t.Errorf("got %v", after.Rejections[0].Errors)
	}
	broken = false
	if mended := conf.Load(documents, after); !mended.Equal(before) {
		t.Errorf("mended: %s", show(mended))
	}
}

// A document that takes too long is rejected in the same way.
func TestSlowDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := time.Duration(0)
		documents := heirsOf(func(name string) {
			if name == "sub/a.yaml" {
				time.Sleep(slow)
			}
		})
		before := conf.Load(documents, nil)
		slow = time.Minute
		after := conf.Load(documents, before)
		expect(t, "slow", after.Rejections, []string{"file conf/a.yaml: takes longer than 5s to load"})
		checkServed(t, before, after)
		slow = 0
		if mended := conf.Load(documents, after); !mended.Equal(before) {
			t.Errorf("mended: %s", show(mended))
		}
	})
}

// A load ends with its context, after the document that it is at.
func TestLoadIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var opened []string
	documents := heirsOf(func(name string) {
		opened = append(opened, name)
		cancel()
	})
	set, err := conf.Rules{}.Load(ctx, documents, nil)
	if set != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", set, err)
	}
	if !slices.Equal(opened, []string{"sub/a.yaml"}) {
		t.Errorf("it opened %v", opened)
	}
	if _, err := new(conf.Set).Try(ctx, "sidecars", "m", inMap("m", "name: m\n")); !errors.Is(err, context.Canceled) {
		t.Errorf("the trial got %v", err)
	}
}
