package watcher

import (
	"context"
	"errors"

	"k8s-sidecar-injector/conf"
)

// ErrNotSynced is returned by Documents of a source that cannot be read yet, because its first list is not
// complete. The reloader does not count it as a failure.
var ErrNotSynced = errors.New("not synced yet")

// Source provides documents and reports when they may have changed.
type Source interface {
	// String names the source in logs and in Pending, such as `directory conf`.
	String() string
	// Documents returns all documents. An error means that the source cannot be read; its last
	// documents stay in service. The error of a single document is in that document. Documents is called
	// from one goroutine at a time, concurrently with Run. loaded is the latest set, nil at first, whose documents
	// may be returned in place of those that are the same.
	Documents(ctx context.Context, loaded *conf.Set) ([]conf.Document, error)
	// Run blocks until ctx ends, and calls changed when Documents may return something new. changed does
	// not block and is safe for concurrent use. An error before ctx ends means that the source can no
	// longer be watched, and stops the daemon.
	Run(ctx context.Context, changed func()) error
}

// caching is a Source that also keeps documents. Release is called after each load, from the goroutine that calls
// Documents.
type caching interface {
	Source
	Release(set *conf.Set)
}

var _ caching = (*ConfigMaps)(nil)

// Publisher puts sets into service.
type Publisher interface {
	// Publish is called from one goroutine. It returns the generation in service. published is false if
	// the set equals the previous one.
	Publish(set *conf.Set) (generation uint64, published bool)
}
