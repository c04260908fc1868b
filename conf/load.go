package conf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	byOrigin := func(a, b Document) int { return a.Origin.Compare(b.Origin) }
	if !slices.IsSortedFunc(documents, byOrigin) {
		slices.SortStableFunc(documents, byOrigin)
	}
	for i := range documents {
		documents[i].identify()
	}
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
	environment
	previous *Set

	bases map[Origin][]*Document // base-only documents by file; parsed on demand
	// order has the documents to serve, by origin, followed by the base-only documents in use.
	order   []*loaded
	served  int // how many of order are served
	inUse   map[Origin]*loaded
	byRef   map[Ref]*loaded // the owner of each ref, valid or not
	unnamed bool            // there is a document without a readable name
	retry   bool            // the next load must not return this set
	trees   map[*compiled]tree

	past past // computed if a document is rejected

	stale map[Ref]*Sidecar
	good  map[entry]*Sidecar // the last valid versions for the next load
}

// environment is the same for all documents of a load.
type environment struct {
	ctxErr    func() error // the error of the context
	rules     *Rules
	standards *podrules.Standards
}

// holder is the work on the documents of one file or ConfigMap, which share limits. It is used by one goroutine at
// a time.
type holder struct {
	environment
	started time.Time // when the work on the current document started
	used    usage
}

func (l *loader) newHolder() *holder { return &holder{environment: l.environment} }

// entry is a ref in a file or key. The index of the origin is 0.
type entry struct {
	file Origin
	ref  Ref
}

// result is what a load keeps of a document, so that the next load can reuse it. It is not changed.
type result struct {
	*parsed
	compiled *compiled // nil if there are faults
}

// loaded is a document in one load.
type loaded struct {
	*parsed
	compiled *compiled
	earlier  *result // of the previous load; nil if the document is new
	document *Document
	holder   *holder
	// all are the faults of the document itself, followed by those that depend on other documents or the rules.
	all []*Error
	// resolved is true if base is set. The base is nil if the document inherits nothing, or nothing valid.
	resolved bool
	base     *loaded
}

func (p *loaded) fail(line int, err error) {
	p.all = append(p.all, p.fault(line, err))
}

func newLoader(ctxErr func() error, rules Rules, previous *Set, documents int) *loader {
	l := &loader{
		environment: environment{ctxErr, &rules, previous.standards},
		previous:    previous,
		bases:       make(map[Origin][]*Document),
		inUse:       make(map[Origin]*loaded),
		byRef:       make(map[Ref]*loaded, documents),
		trees:       make(map[*compiled]tree),
		stale:       make(map[Ref]*Sidecar),
		good:        make(map[entry]*Sidecar, documents),
	}
	if l.standards == nil {
		l.standards = podrules.NewStandards()
	}
	return l
}

// load makes the set of documents that are sorted by origin. The error is that of the context.
func (l *loader) load(documents []Document) (*Set, error) {
	l.order = make([]*loaded, 0, len(documents))
	slab := make([]loaded, len(documents))
	for i := range documents {
		document := &documents[i]
		if document.BaseOnly {
			file := document.Origin.whole()
			l.bases[file] = append(l.bases[file], document)
			continue
		}
		slab[i].document = document
		l.order = append(l.order, &slab[i])
	}
	l.served = len(l.order)
	if err := l.parseAll(l.order); err != nil {
		return nil, err
	}
	l.claim(l.order)
	for _, p := range l.order[:l.served] { // flatten appends base-only documents, which are not served
		l.flatten(p)
		if p.isServed() {
			l.keep(p.compiled.sidecar)
		}
		if err := l.ctxErr(); err != nil {
			return nil, err
		}
	}
	return l.set(documents, l.fallBack()), nil
}

// isServed reports whether the document is valid and to be served.
func (p *loaded) isServed() bool {
	return len(p.all) == 0 && p.compiled != nil && p.compiled.sidecar != nil
}

func (l *loader) set(documents []Document, rejections []Rejection) *Set {
	s := &Set{
		Rejections: rejections, rules: *l.rules, standards: l.standards, documents: documents, good: l.good,
		owners: l.byRef, loaded: true, retry: l.retry,
	}
	for _, p := range l.order {
		p.release()
		s.retry = s.retry || p.again
	}
	for _, p := range l.order[:l.served] {
		if p.isServed() {
			s.Sidecars = append(s.Sidecars, p.compiled.sidecar)
		}
	}
	s.Sidecars = slices.AppendSeq(s.Sidecars, maps.Values(l.stale))
	slices.SortFunc(s.Sidecars, func(a, b *Sidecar) int { return a.Ref.Compare(b.Ref) })
	s.Digest = setDigest(s.Sidecars)
	return s
}

// release replaces the content of a document by the result, unless the next load must parse it again.
func (p *loaded) release() {
	document := p.document
	switch {
	case p.again, document.Err != nil, document.known != nil && document.known.parsed != p.parsed:
	case p.earlier != nil && p.earlier.parsed == p.parsed && p.earlier.compiled == p.compiled:
		document.known = p.earlier
	default:
		document.known = &result{p.parsed, p.compiled}
	}
	if document.known != nil && document.known.used.tried == 0 {
		document.Content = nil // not needed to parse it with fewer tries
	}
	p.earlier = nil
}

func setDigest(sidecars []*Sidecar) string {
	sum := sha256.New()
	var line []byte
	for _, sidecar := range sidecars {
		line = append(append(line[:0], sidecar.Ref.Name...), ':')
		line = append(append(line, sidecar.Ref.Version...), ' ')
		line = append(append(line, sidecar.Digest...), '\n')
		sum.Write(line)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
