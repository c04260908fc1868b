package watcher

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"k8s-sidecar-injector/conf"
)

// Options are the parts of a Reloader.
type Options struct {
	// Sources provide the documents, in any order.
	Sources []Source
	// Rules are used to load the documents.
	Rules conf.Rules
	// Publisher takes the loaded sets.
	Publisher Publisher
	// Log gets a line for each change.
	Log zerolog.Logger
	// Observe is called after each reload, from one goroutine. It gets false if a source cannot be
	// read or a document is rejected, even if that has not changed. A source that is not synced yet
	// does not count. Optional.
	Observe func(ok bool)
}

// Reloader publishes the documents of its sources. Make it with NewReloader. All methods are safe for
// concurrent use; Run is called once.
type Reloader struct {
	rules     conf.Rules
	publisher Publisher
	log       zerolog.Logger
	observe   func(ok bool)
	debouncer debouncer

	// These belong to the goroutine that reloads.
	set       *conf.Set
	reloadLog reloadLog

	// mu guards the fields that Pending reads.
	mu        sync.Mutex
	sources   []*sourceState
	published bool
}

// sourceState is a source and its last documents.
type sourceState struct {
	Source
	documents []conf.Document
	read      bool  // at least once; only the goroutine that reloads uses it
	synced    bool  // documents that were read are published
	err       error // of the latest read
}

// NewReloader returns a reloader that does nothing before Run.
func NewReloader(options Options) *Reloader {
	r := &Reloader{
		rules:     options.Rules,
		publisher: options.Publisher,
		log:       options.Log,
		observe:   options.Observe,
		debouncer: newDebouncer(),
		reloadLog: reloadLog{log: options.Log},
	}
	for _, source := range options.Sources {
		r.sources = append(r.sources, &sourceState{Source: source})
	}
	return r
}

// Run publishes the documents of the sources at once, and again after each change, until ctx ends; then
// it returns nil. Changes are debounced. An error means that a source cannot be watched any more.
func (r *Reloader) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range r.sources {
		group.Go(func() error { return r.watch(ctx, s) })
	}
	group.Go(func() error {
		for explicit, ok := false, true; ok; explicit, ok = r.debouncer.wait(ctx) {
			r.reconcileSafely(ctx, explicit)
		}
		return nil
	})
	return group.Wait()
}

// Reload requests a reload without delay, as on SIGHUP, and does not wait for it. Several calls before
// it begins are one.
func (r *Reloader) Reload() {
	r.debouncer.now()
}

// Pending returns the reasons why the published snapshot is incomplete: each source that was never read,
// with its last error. Once every source was published, it returns nil, and does so for ever.
func (r *Reloader) Pending() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var reasons []string
	for _, s := range r.sources {
		if !s.synced {
			reasons = append(reasons, s.pending())
		}
	}
	if !r.published {
		reasons = append(reasons, "no snapshot has been published yet")
	}
	return reasons
}

func (s *sourceState) pending() string {
	if s.err == nil {
		return fmt.Sprintf("%s has not been read yet", s)
	}
	return fmt.Sprintf("%s has not been read yet: %v", s, s.err)
}

// watch runs one source. An error due to the end of ctx is ignored.
func (r *Reloader) watch(ctx context.Context, source Source) error {
	err := source.Run(ctx, r.debouncer.later)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("watching %s: %w", source, err)
	}
	return nil
}

// reconcileSafely logs and counts a panic of reconcile as a failed reload. The current snapshot stays in
// service, and the next change is tried again.
func (r *Reloader) reconcileSafely(ctx context.Context, explicit bool) {
	defer func() {
		if v := recover(); v != nil {
			r.logPanic(debug.Stack())
		}
	}()
	r.reconcile(ctx, explicit)
}

func (r *Reloader) logPanic(stack []byte) {
	r.log.Error().Bytes("stack", stack).Msg("reload panicked: the current snapshot stays in service")
	if r.observe != nil {
		r.observe(false)
	}
}

// reconcile reads every source and publishes the documents. An explicit reload always logs its result.
func (r *Reloader) reconcile(ctx context.Context, explicit bool) {
	if explicit {
		r.repeatLog()
	}
	documents, complete := r.readAll(ctx)
	if ctx.Err() != nil {
		return
	}
	set, err := r.rules.Load(ctx, documents, r.set)
	if panicked, ok := errors.AsType[*conf.PanicError](err); ok {
		r.logPanic(panicked.Stack)
	}
	if err != nil {
		return
	}
	generation, published := r.publisher.Publish(set)
	r.set = set
	r.reloadLog.rejections(set.Rejections)
	r.markSynced()
	switch {
	case published:
		r.reloadLog.published(generation, set)
	case explicit:
		r.reloadLog.unchanged(generation, set)
	}
	if r.observe != nil {
		r.observe(complete && len(set.Rejections) == 0)
	}
}

// markSynced records that the documents that were read are published.
func (r *Reloader) markSynced() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = true
	for _, s := range r.sources {
		s.synced = s.read
	}
}

// repeatLog makes the next reload log all errors again.
func (r *Reloader) repeatLog() {
	r.reloadLog.repeat = true
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sources {
		s.err = nil
	}
}

// readAll returns the documents of all sources. For a source that cannot be read, it returns the last
// ones and reports false.
func (r *Reloader) readAll(ctx context.Context) ([]conf.Document, bool) {
	var all []conf.Document
	complete := true
	for _, s := range r.sources {
		err := r.read(ctx, s)
		complete = complete && (err == nil || errors.Is(err, ErrNotSynced))
		all = append(all, s.documents...)
	}
	return all, complete
}

func (r *Reloader) read(ctx context.Context, s *sourceState) error {
	documents, err := s.Documents(ctx)
	if ctx.Err() != nil {
		return err
	}
	r.reloadLog.source(s, s.err, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	s.err = err
	if err == nil {
		s.documents, s.read = documents, true
	}
	return err
}
