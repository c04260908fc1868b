package conf

import (
	"iter"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// manyDocuments are worth parsing in parallel. Fewer leave the other processors to reviews.
const manyDocuments = 100

// parseAll parses the documents that the previous load has not parsed. If there are many, all processors parse. A
// goroutine parses all documents of a holder in their order, so that their limits do not depend on the schedule.
func (l *loader) parseAll(list []*loaded) error {
	unknown := 0
	for _, p := range list {
		if p.earlier = l.previous.resultOf(p.document); p.earlier == nil {
			unknown++
		}
	}
	var group errgroup.Group
	group.SetLimit(1)
	if unknown >= manyDocuments {
		group.SetLimit(runtime.GOMAXPROCS(0))
	}
	var failed atomic.Bool
	for documents := range slicesOfHolders(list) {
		group.Go(func() error {
			if failed.Load() {
				return nil
			}
			err := recovered(func() error { return l.parseHolder(documents) })
			if err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	l.unnamed = slices.ContainsFunc(list, func(p *loaded) bool { return p.ref == Ref{} })
	return nil
}

// slicesOfHolders yields the documents of each file or ConfigMap.
func slicesOfHolders(list []*loaded) iter.Seq[[]*loaded] {
	return func(yield func([]*loaded) bool) {
		for start := 0; start < len(list); {
			end := start + 1
			for end < len(list) && list[end].document.Origin.holder() == list[start].document.Origin.holder() {
				end++
			}
			if !yield(list[start:end]) {
				return
			}
			start = end
		}
	}
}

// parseHolder parses the documents of one file or ConfigMap. The error is that of the context.
func (l *loader) parseHolder(documents []*loaded) error {
	h := l.newHolder()
	for _, p := range documents {
		p.add(h)
		if err := h.ctxErr(); err != nil {
			return err
		}
	}
	return nil
}

// add parses a document unless the previous load did.
func (p *loaded) add(h *holder) {
	p.holder = h
	err := h.bounded(func() error {
		p.parsed = h.reuseOrParse(p.earlier, *p.document)
		return nil
	})
	if err != nil {
		p.parsed = newParsed(*p.document)
		p.again = true
		p.reject(0, err)
	}
	p.all = slices.Clip(p.faults)
}

// reuseOrParse returns the earlier result, which may be nil, if the rules have not changed and its cost is within the
// limits of this load.
func (h *holder) reuseOrParse(earlier *result, document Document) *parsed {
	if earlier == nil || *earlier.rules != *h.rules {
		return h.parse(document)
	}
	err := h.charge(new(parsed), earlier.used)
	if err == nil {
		return earlier.parsed
	}
	if document.known == nil {
		return h.parse(document)
	}
	refused := newParsed(document)
	refused.names = earlier.names
	if earlier.ref != (Ref{}) {
		refused.names = []Ref{earlier.ref}
	}
	refused.reject(0, err)
	return refused
}
