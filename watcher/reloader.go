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
	// Sources yield the documents. Their order does not matter.
	Sources []Source
	// Rules are those that documents are loaded by.
	Rules conf.Rules
	// Publisher takes what was loaded.
	Publisher Publisher
	// Log gets a line for each thing that changed, and none when nothing did.
	Log zerolog.Logger
	// Observe is called after each reload, from one goroutine. It gets false when a source
	// could not be read or a document is rejected, also when that is so since long. A source
	// that is not synced yet does not count. Nil means that nobody looks.
	Observe func(ok bool)
}

// Reloader keeps what is published equal to what the sources hold. Make it with NewReloader.
// All methods are safe for concurrent use; Run is called once.
type Reloader struct {
	rules     conf.Rules
	publisher Publisher
	log       zerolog.Logger
	observe   func(ok bool)
	trigger   trigger

	// These belong to the goroutine that reloads.
	set     *conf.Set
	journal journal

	// mu guards what Pending reads.
	mu        sync.Mutex
	feeds     []*feed
	published bool
}

// feed is a source with what it last yielded.
type feed struct {
	source    Source
	documents []conf.Document
	read      bool  // once at least; only the goroutine that reloads looks at it
	synced    bool  // what was read is published, or something newer
	failure   error // of the latest reading; nil when that was good
}

// NewReloader makes a reloader that does nothing before Run.
func NewReloader(options Options) *Reloader {
	r := &Reloader{
		rules:     options.Rules,
		publisher: options.Publisher,
		log:       options.Log,
		observe:   options.Observe,
		trigger:   newTrigger(),
		journal:   journal{log: options.Log},
	}
	for _, source := range options.Sources {
		r.feeds = append(r.feeds, &feed{source: source})
	}
	return r
}

// Run publishes what the sources hold, at once and after each change, until ctx ends; then
// it returns nil. Changes settle over a short quiet period with an upper bound. An error
// means that a source stopped for good.
func (r *Reloader) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range r.feeds {
		group.Go(func() error { return r.watch(ctx, f.source) })
	}
	group.Go(func() error {
		for ordered, ok := false, true; ok; ordered, ok = r.trigger.wait(ctx) {
			r.reconcileSafely(ctx, ordered)
		}
		return nil
	})
	return group.Wait()
}

// Reload asks for a reload at once, as on SIGHUP, and does not wait for it. Several calls
// before it begins are one.
func (r *Reloader) Reload() {
	r.trigger.order()
}

// Pending gives the reasons why what is published is not complete yet: each source that was
// never read, with its last error. It is empty once a snapshot was published and every
// source has synced once, and stays so.
func (r *Reloader) Pending() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var reasons []string
	for _, f := range r.feeds {
		if !f.synced {
			reasons = append(reasons, f.pending())
		}
	}
	if !r.published {
		reasons = append(reasons, "no snapshot has been published yet")
	}
	return reasons
}

func (f *feed) pending() string {
	if f.failure == nil {
		return fmt.Sprintf("%s has not been read yet", f.source)
	}
	return fmt.Sprintf("%s has not been read yet: %v", f.source, f.failure)
}

// watch runs one source. What a source returns because ctx ended is no error.
func (r *Reloader) watch(ctx context.Context, source Source) error {
	err := source.Run(ctx, r.trigger.event)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("watching %s: %w", source, err)
	}
	return nil
}

// reconcileSafely logs and counts a panic of reconcile as a failed reload. What was published stays
// in service, and the next change is tried again.
func (r *Reloader) reconcileSafely(ctx context.Context, ordered bool) {
	defer func() {
		if v := recover(); v != nil {
			r.failed(debug.Stack())
		}
	}()
	r.reconcile(ctx, ordered)
}

func (r *Reloader) failed(stack []byte) {
	r.log.Error().Bytes("stack", stack).Msg("reload panicked: the current snapshot stays in service")
	if r.observe != nil {
		r.observe(false)
	}
}

// reconcile reads every source and publishes what they hold. A reload that was asked for logs its
// result even where nothing changed.
func (r *Reloader) reconcile(ctx context.Context, ordered bool) {
	if ordered {
		r.repeat()
	}
	documents, complete := r.readAll(ctx)
	if ctx.Err() != nil {
		return
	}
	set, err := r.rules.Load(ctx, documents, r.set)
	if panicked, ok := errors.AsType[*conf.PanicError](err); ok {
		r.failed(panicked.Stack)
	}
	if err != nil {
		return
	}
	generation, published := r.publisher.Publish(set)
	r.set = set
	r.journal.rejections(r.set.Rejections)
	r.sync()
	switch {
	case published:
		r.journal.published(generation, r.set)
	case ordered:
		r.journal.unchanged(generation, r.set)
	}
	if r.observe != nil {
		r.observe(complete && len(r.set.Rejections) == 0)
	}
}

// sync notes that what was read is published.
func (r *Reloader) sync() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = true
	for _, f := range r.feeds {
		f.synced = f.read
	}
}

// repeat has everything said again that is wrong now.
func (r *Reloader) repeat() {
	r.journal.repeat()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.feeds {
		f.failure = nil
	}
}

// readAll gives the documents of all sources: of those that cannot be read now, what they
// held before. It is false when there is such a source.
func (r *Reloader) readAll(ctx context.Context) ([]conf.Document, bool) {
	var all []conf.Document
	complete := true
	for _, f := range r.feeds {
		err := r.read(ctx, f)
		complete = complete && (err == nil || errors.Is(err, ErrNotSynced))
		all = append(all, f.documents...)
	}
	return all, complete
}

func (r *Reloader) read(ctx context.Context, f *feed) error {
	documents, err := f.source.Documents(ctx)
	if ctx.Err() != nil {
		return err
	}
	r.journal.source(f.source, f.failure, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	f.failure = err
	if err == nil {
		f.documents, f.read = documents, true
	}
	return err
}
