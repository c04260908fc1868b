package conf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s-sidecar-injector/conf/podrules"
)

// Load makes a set of all documents of all sources, in any order. A document is rejected, without effect on
// the others, if it or its base is invalid, if its source may not use its Pod Security level, if it takes too
// long or if it panics. The last valid version of a rejected document stays in service, marked stale.
//
// Documents that have not changed since the previous set are not parsed again. The previous set is not
// changed. It is nil at the first load. The error is that of ctx, or a *PanicError.
func (r Rules) Load(ctx context.Context, documents []Document, previous *Set) (set *Set, err error) {
	if previous == nil {
		previous = &Set{}
	}
	documents = slices.Clone(documents)
	slices.SortStableFunc(documents, func(a, b Document) int { return a.Origin.Compare(b.Origin) })
	if previous.rules == r && previous.isLoadOf(documents) {
		return previous, nil
	}
	err = recovered(func() error {
		set, err = newLoader(ctx.Err, r, previous, len(documents)).load(documents)
		return err
	})
	return set, err
}

// Load is Rules.Load with the zero Rules, for trusted documents. It panics on errors.
func Load(documents []Document, previous *Set) *Set {
	//nolint:forbidigo // trusted documents are not cancelled
	set, err := Rules{}.Load(context.Background(), documents, previous)
	if err != nil {
		panic(err)
	}
	return set
}

// loader is the state of one load.
type loader struct {
	ctxErr    func() error // the error of the context
	started   time.Time    // when the work on the current document started
	rules     Rules
	standards *podrules.Standards
	previous  *Set
	before    map[Origin][]*Sidecar // the last valid versions of the previous load, by holder

	bases    map[Origin][]Document // base-only documents by file; parsed on demand
	order    []*loaded             // by origin, followed by the base-only documents in use
	byOrigin map[Origin]*loaded
	byRef    map[Ref]*loaded // the owner of each ref, valid or not
	defined  map[entry]bool
	unnamed  bool // there is a document without a readable name

	usage map[Origin]*usage // by holder

	served map[Ref]*Sidecar
	good   map[entry]*Sidecar // the last valid versions for the next load
}

// entry is a ref in a file or key. The index of the origin is 0.
type entry struct {
	file Origin
	ref  Ref
}

// loaded is a document in one load.
type loaded struct {
	*parsed
	// all are the faults of the document itself, followed by those that depend on other documents or the rules.
	all []*Error
	// resolved is true if base is set. The base is nil if the document inherits nothing, or nothing valid.
	resolved bool
	base     *loaded
	flat     *flattened // nil if the document has not been merged with its bases
}

func (p *loaded) fail(line int, err error) {
	p.all = append(p.all, p.fault(line, err))
}

func newLoader(ctxErr func() error, rules Rules, previous *Set, documents int) *loader {
	l := &loader{
		ctxErr:    ctxErr,
		rules:     rules,
		standards: previous.standards,
		previous:  previous,
		before:    make(map[Origin][]*Sidecar),
		bases:     make(map[Origin][]Document),
		byOrigin:  make(map[Origin]*loaded, documents),
		byRef:     make(map[Ref]*loaded, documents),
		defined:   make(map[entry]bool, documents),
		usage:     make(map[Origin]*usage),
		served:    make(map[Ref]*Sidecar, documents),
		good:      make(map[entry]*Sidecar, documents),
	}
	if l.standards == nil {
		l.standards = podrules.NewStandards()
	}
	for at, old := range previous.good {
		l.before[at.file.holder()] = append(l.before[at.file.holder()], old)
	}
	return l
}

// load makes the set of documents that are sorted by origin. The error is that of the context.
func (l *loader) load(documents []Document) (*Set, error) {
	for _, document := range documents {
		if document.BaseOnly {
			file := document.Origin.whole()
			l.bases[file] = append(l.bases[file], document)
			continue
		}
		l.add(document)
		if err := l.ctxErr(); err != nil {
			return nil, err
		}
	}
	l.claim(l.order)
	for _, p := range l.order { // serve appends base-only documents, which are not served
		l.serve(p)
		if err := l.ctxErr(); err != nil {
			return nil, err
		}
	}
	return l.set(documents, l.fallBack()), nil
}

// add parses a document unless the previous load did.
func (l *loader) add(document Document) {
	var p *parsed
	err := l.bounded(func() error {
		p = l.reuseOrParse(l.previous.parsed[document.Origin], document)
		return nil
	})
	if err != nil {
		p = &parsed{document: document, again: true}
		p.reject(0, err)
	}
	added := &loaded{parsed: p, all: slices.Clip(p.faults)}
	l.byOrigin[document.Origin] = added
	l.order = append(l.order, added)
	l.defined[entry{document.Origin.whole(), p.ref}] = true
	l.unnamed = l.unnamed || p.ref == Ref{}
}

// reuseOrParse returns the earlier result, which may be nil, if neither the document nor the rules have changed
// and its cost is within the limits of this load.
func (l *loader) reuseOrParse(earlier *parsed, document Document) *parsed {
	if earlier == nil || l.previous.rules != l.rules || earlier.again || !document.unchanged(earlier.document) {
		return parse(document, l)
	}
	same := *earlier
	same.document, same.used = document, usage{}
	if l.charge(&same, earlier.used) != nil {
		return parse(document, l)
	}
	return &same
}

// serve encodes the document if it is valid.
func (l *loader) serve(p *loaded) {
	var sidecar *Sidecar
	err := l.bounded(func() (err error) {
		l.flatten(p)
		if len(p.all) > 0 {
			return nil
		}
		sidecar, err = encode(p.parsed, p.flat)
		return err
	})
	if err != nil {
		p.fail(0, err)
	}
	if len(p.all) == 0 {
		sidecar.Warnings, sidecar.Violations = p.flat.warnings, p.flat.security.short()
		l.served[p.ref] = sidecar
		l.keep(sidecar)
	}
}

func (l *loader) set(documents []Document, rejections []Rejection) *Set {
	s := &Set{
		Rejections: rejections, rules: l.rules, standards: l.standards, documents: documents, good: l.good,
		parsed: make(map[Origin]*parsed, len(l.order)),
		owners: make(map[Ref]Origin, len(l.byRef)),
	}
	for _, p := range l.order {
		s.parsed[p.document.Origin] = p.parsed
		s.retry = s.retry || p.again
	}
	for ref, owner := range l.byRef {
		s.owners[ref] = owner.document.Origin
	}
	s.Sidecars = slices.SortedFunc(maps.Values(l.served), func(a, b *Sidecar) int { return a.Ref.Compare(b.Ref) })
	s.Digest = setDigest(s.Sidecars)
	return s
}

func setDigest(sidecars []*Sidecar) string {
	sum := sha256.New()
	for _, sidecar := range sidecars {
		fmt.Fprintln(sum, sidecar.Ref, sidecar.Digest)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
