package watcher

import (
	"context"
	"errors"

	"k8s-sidecar-injector/conf"
)

// ErrNotSynced is returned by Documents of a source that needs time before it can read for
// the first time, such as one that fills a cache. The reloader waits for it, and does not
// take it for a failure.
var ErrNotSynced = errors.New("not synced yet")

// Source yields documents and says when they may have changed.
type Source interface {
	// String names the source in logs and in reasons for not being ready, such as
	// `directory conf`.
	String() string
	// Documents reads everything now. An error means that the source as a whole cannot be
	// read, and then what it last yielded stays in service. What is wrong with a single
	// document is said in that document. It is called from one goroutine at a time, which
	// may be another than that of Run.
	Documents(ctx context.Context) ([]conf.Document, error)
	// Run blocks until ctx ends and calls changed whenever Documents may yield something
	// else than before. The function changed does not block and is safe for concurrent use.
	// An error before ctx ended means that the source will never notice a change again, and
	// stops the daemon.
	Run(ctx context.Context, changed func()) error
}

// Publisher takes what the sources hold into service.
type Publisher interface {
	// Publish is called from one goroutine. It tells the generation that is now in service,
	// and whether the set is a new one: false when it equals the one before.
	Publish(set *conf.Set) (generation uint64, published bool)
}
