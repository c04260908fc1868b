package conf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
	// previousFiles are the files or keys that have a last valid version, by holder.
	previousFiles map[Origin][]Origin

	bases   map[Origin][]Document // base-only documents by file; parsed on demand
	order   []*parsed             // by origin, followed by the base-only documents in use
	parsed  map[Origin]*parsed
	defined map[entry]bool // the refs of each file
	unnamed bool           // there is a document without a readable name

	byRef      map[Ref]*parsed    // the owner of each ref, valid or not
	duplicates map[*parsed]*Error // documents whose ref has another owner

	links map[*parsed]link
	flat  map[*parsed]flattened

	usage map[Origin]*usage // by holder

	served     map[Ref]*Sidecar
	good       map[Origin]map[Ref]*Sidecar
	rejections []Rejection
}

// entry is a ref in a file or key. The index of the origin is 0.
type entry struct {
	file Origin
	ref  Ref
}

func newLoader(ctxErr func() error, rules Rules, previous *Set, documents int) *loader {
	l := &loader{
		ctxErr:        ctxErr,
		rules:         rules,
		standards:     previous.standards,
		previous:      previous,
		previousFiles: make(map[Origin][]Origin),
		bases:         make(map[Origin][]Document),
		parsed:        make(map[Origin]*parsed, documents),
		defined:       make(map[entry]bool, documents),
		byRef:         make(map[Ref]*parsed, documents),
		duplicates:    make(map[*parsed]*Error),
		links:         make(map[*parsed]link, documents),
		flat:          make(map[*parsed]flattened, documents),
		usage:         make(map[Origin]*usage),
		served:        make(map[Ref]*Sidecar, documents),
		good:          make(map[Origin]map[Ref]*Sidecar, documents),
	}
	if l.standards == nil {
		l.standards = podrules.NewStandards()
	}
	for file := range previous.good {
		l.previousFiles[file.holder()] = append(l.previousFiles[file.holder()], file)
	}
	return l
}

// load makes the set of documents that are sorted by origin. The error is that of the context.
func (l *loader) load(documents []Document) (*Set, error) {
	if err := l.parseAll(documents); err != nil {
		return nil, err
	}
	served := slices.Clone(l.order)
	l.claim(served)
	for _, p := range served {
		l.serve(p)
		if err := l.ctxErr(); err != nil {
			return nil, err
		}
	}
	l.rejectBases(l.order[len(served):])
	l.fallBack()
	return l.set(documents), nil
}

func (l *loader) parseAll(documents []Document) error {
	for _, document := range documents {
		if document.BaseOnly {
			file := document.Origin.whole()
			l.bases[file] = append(l.bases[file], document)
			continue
		}
		l.add(document)
		if err := l.ctxErr(); err != nil {
			return err
		}
	}
	return nil
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
	l.parsed[document.Origin] = p
	l.order = append(l.order, p)
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
	same.document, same.cost, same.tried = document, 0, 0
	if l.charge(&same, earlier.cost) != nil || !l.affordTry(&same, earlier.tried) {
		return parse(document, l)
	}
	return &same
}

// serve encodes a valid document, and rejects an invalid one.
func (l *loader) serve(p *parsed) {
	var sidecar *Sidecar
	var faults []error
	err := l.bounded(func() (err error) {
		flat := l.flatten(p)
		if faults = l.faults(p); len(faults) > 0 {
			return nil
		}
		if sidecar, err = encode(p, flat.tree); err == nil {
			sidecar.Level = flat.security.level
		}
		return err
	})
	if err != nil {
		faults = append(faults, &Error{Origin: p.document.Origin, Err: err})
	}
	if len(faults) > 0 {
		l.reject(p, faults)
		return
	}
	l.served[p.ref] = sidecar
	l.keep(sidecar)
}

// faults returns all faults of a flattened document.
func (l *loader) faults(p *parsed) []error {
	faults, flat := slices.Clone(p.faults), l.flat[p]
	if duplicate := l.duplicates[p]; duplicate != nil {
		faults = append(faults, duplicate)
	}
	if flat.err != nil {
		faults = append(faults, flat.err)
	}
	return append(faults, flat.levelFaults...)
}

// rejectBases reports the faults of base-only documents. The faults of their heirs only refer to them.
func (l *loader) rejectBases(bases []*parsed) {
	for _, p := range bases {
		if faults := l.faults(p); len(faults) > 0 {
			l.reject(p, faults)
		}
	}
}

func (l *loader) reject(p *parsed, faults []error) {
	l.rejections = append(l.rejections, Rejection{Origin: p.document.Origin, Errors: joined(faults)})
}

func (l *loader) set(documents []Document) *Set {
	s := &Set{
		Rejections: l.rejections, rules: l.rules, standards: l.standards,
		documents: documents, parsed: l.parsed, good: l.good,
		retry:  slices.ContainsFunc(l.order, func(p *parsed) bool { return p.again }),
		owners: make(map[Ref]Origin, len(l.byRef)),
	}
	for ref, owner := range l.byRef {
		s.owners[ref] = owner.document.Origin
	}
	for _, sidecar := range l.served {
		s.Sidecars = append(s.Sidecars, sidecar)
	}
	slices.SortFunc(s.Sidecars, compareSidecars)
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
