package watcher

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"k8s-sidecar-injector/conf"
)

// Options configures a Reloader. Publisher and Observe are required.
type Options struct {
	// Sources provide the documents. Their order does not matter.
	Sources []Source
	// Rules are used to load the documents.
	Rules conf.Rules
	// Publisher publishes each loaded set.
	Publisher Publisher
	// Log logs each change.
	Log zerolog.Logger
	// Observe is called after each reload, from one goroutine. ok is false if a source cannot be read or
	// a document is rejected, even if that is not new. A source that is not synced yet does not count.
	// unreadable is the number of sources that cannot be read, or of all sources if the reload panicked.
	Observe func(ok bool, unreadable int)
}

// Reloader publishes the documents of its sources. Make it with NewReloader. All methods are safe for
// concurrent use; Run is called once.
type Reloader struct {
	options   Options
	debouncer debouncer
	pending   atomic.Pointer[[]string]
	states    atomic.Pointer[[]SourceState]

	// The goroutine that reloads owns the rest.
	sources   []*sourceState
	set       *conf.Set // nil before the first publication
	reloadLog reloadLog
}

// sourceState is a source and its last documents.
type sourceState struct {
	Source
	documents []conf.Document
	read      bool  // whether it was ever read
	err       error // of the latest read
}

// NewReloader returns a reloader that does nothing before Run.
func NewReloader(options Options) *Reloader {
	r := &Reloader{options: options, debouncer: newDebouncer(), reloadLog: reloadLog{log: options.Log}}
	for _, source := range options.Sources {
		r.sources = append(r.sources, &sourceState{Source: source})
	}
	r.updatePending()
	return r
}

// Run publishes the documents of the sources at once, and again after each change, until ctx ends; then
// it returns nil. Changes are debounced. An error means that a source can no longer be watched.
func (r *Reloader) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range r.sources {
		group.Go(func() error {
			err := s.Run(ctx, r.debouncer.schedule)
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("watching %s: %w", s, err)
			}
			return nil
		})
	}
	r.debouncer.run(ctx, func(explicit bool) error { return r.reconcile(ctx, explicit) })
	return group.Wait()
}

// Reload reloads without delay, as on SIGHUP, and waits. It returns an error for each fault of a rejected
// document and for each source that cannot be read, in a *multierror.Error, or the error of ctx. Run must have
// been called.
func (r *Reloader) Reload(ctx context.Context) error { return r.debouncer.runNow(ctx) }

// Pending returns why the published snapshot is incomplete: each source that was never read, with its last
// error. Once all sources have been published, it always returns nil.
func (r *Reloader) Pending() []string { return *r.pending.Load() }

// SourceState is a source after the latest reload.
type SourceState struct {
	Source
	// Read reports whether the source was ever read, so that its documents are in service.
	Read bool
	// Err is the error of the latest read; nil if it succeeded or there was none.
	Err error
}

// States returns the states of the sources, in the order of the options. The result must not be changed.
func (r *Reloader) States() []SourceState { return *r.states.Load() }

// errPanicked is the error of a reload that panicked.
var errPanicked = errors.New("reload panicked: the current snapshot stays in service; the log contains the stack")

// reconcile reads every source and publishes the documents. An explicit reload always logs its result, and
// all errors again. The error is that of Reload.
func (r *Reloader) reconcile(ctx context.Context, explicit bool) (err error) {
	defer func() {
		if recover() != nil { // its value may quote a document
			r.logPanic(debug.Stack())
			err = errPanicked
		}
	}()
	documents, failures := r.readAll(ctx, explicit)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	set, err := r.options.Rules.Load(ctx, documents, r.set)
	if panicked, ok := errors.AsType[*conf.PanicError](err); ok {
		r.logPanic(panicked.Stack)
		return errPanicked
	}
	if err != nil { // ctx has ended
		return err
	}
	generation, published := r.options.Publisher.Publish(set)
	r.set = set
	for _, s := range r.sources {
		set.Release(s.documents)
		if source, ok := s.Source.(caching); ok {
			source.Release(set)
		}
	}
	r.updatePending()
	r.reloadLog.rejections(set.Rejections, explicit)
	switch {
	case published:
		r.reloadLog.snapshot("snapshot published", generation, set)
	case explicit:
		r.reloadLog.snapshot("reloaded, no changes", generation, set)
	}
	for _, rejection := range set.Rejections {
		failures = multierror.Append(failures, rejection.Errors.Errors...)
	}
	r.options.Observe(failures == nil, r.unreadable())
	return failures.ErrorOrNil()
}

// readAll returns the documents of all sources. If a source cannot be read, it returns the last documents of
// that source, and an error.
func (r *Reloader) readAll(ctx context.Context, explicit bool) (all []conf.Document, failures *multierror.Error) {
	for _, s := range r.sources {
		documents, err := s.Documents(ctx, r.set)
		if ctx.Err() != nil {
			return nil, multierror.Append(nil, ctx.Err())
		}
		if isNew := fmt.Sprint(err) != fmt.Sprint(s.err); isNew || err != nil && explicit {
			r.reloadLog.source(s, s.err, err)
		}
		s.err = err
		if err == nil {
			s.documents, s.read = documents, true
		}
		if err != nil && !errors.Is(err, ErrNotSynced) {
			failures = multierror.Append(failures, fmt.Errorf("%s cannot be read: %w", s, err))
		}
		if all == nil {
			all = slices.Clip(s.documents) // usually there is one source
		} else {
			all = append(all, s.documents...)
		}
	}
	return all, failures
}

// unreadable returns the number of sources that cannot be read.
func (r *Reloader) unreadable() (count int) {
	for _, s := range r.sources {
		if s.err != nil && !errors.Is(s.err, ErrNotSynced) {
			count++
		}
	}
	return count
}

// updatePending stores the results of Pending and States. It is called after publishing, so that Pending waits for
// that.
func (r *Reloader) updatePending() {
	var reasons []string
	states := make([]SourceState, len(r.sources))
	for i, s := range r.sources {
		states[i] = SourceState{s.Source, s.read, s.err}
		switch {
		case s.read:
		case s.err == nil:
			reasons = append(reasons, fmt.Sprintf("%s has not been read yet", s))
		default:
			reasons = append(reasons, fmt.Sprintf("%s has not been read yet: %v", s, s.err))
		}
	}
	if r.set == nil {
		reasons = append(reasons, "no snapshot has been published yet")
	}
	r.pending.Store(&reasons)
	r.states.Store(&states)
}

// logPanic logs a panic and counts a failed reload. The current snapshot stays in service until the next reload.
func (r *Reloader) logPanic(stack []byte) {
	r.options.Log.Error().Bytes("stack", stack).Msg("reload panicked: the current snapshot stays in service")
	r.options.Observe(false, len(r.sources))
}
