package conf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s-sidecar-injector/conf/podrules"
)

// load makes the set of documents that are in any order. The error is that of the context.
func (l *loading) load(documents []Document) (*Set, error) {
	documents = slices.Clone(documents)
	slices.SortStableFunc(documents, func(a, b Document) int { return a.Origin.Compare(b.Origin) })
	for _, document := range documents {
		l.add(document)
		if err := l.ended(); err != nil {
			return nil, err
		}
	}
	list := slices.Clone(l.order)
	l.claim(list)
	for _, p := range list {
		l.serve(p)
		if err := l.ended(); err != nil {
			return nil, err
		}
	}
	l.rejectBases(list)
	l.fallBack()
	set := l.set()
	set.documents = documents
	return set, nil
}

// madeOf tells whether a set is what these documents give anyway: the usual case when only
// the time for a look has come. It does not know of files that are read on the way.
func (s *Set) madeOf(documents []Document) bool {
	if s.parsed == nil || s.followsPaths || len(documents) != len(s.parsed) {
		return false
	}
	return !slices.ContainsFunc(documents, func(d Document) bool {
		p := s.parsed[d.Origin]
		return p == nil || p.again || !p.still(d)
	})
}

// loading is the state of one Load.
type loading struct {
	ended     func() error // the error of the context
	begun     time.Time    // when the work on the current document began
	rules     Rules
	standards *podrules.Standards
	previous  *Set
	past      map[entry]*Sidecar  // what each file gave when it was good last
	files     map[Origin][]Origin // those files, by their holder

	order   []*parsed // by origin; bases that were read on the way come last
	parsed  map[Origin]*parsed
	defined map[entry]bool
	// nameless tells that there is a document whose name cannot be read.
	nameless bool
	byRef    map[Ref]*parsed
	later    map[*parsed]*Error // those whose ref is taken

	links     map[*parsed]link
	flat      map[*parsed]flattened
	inherited map[Origin]int // how many bytes, by the file or ConfigMap that inherits
	spent     map[Origin]int // see maxCost, by the file or ConfigMap
	tried     map[Origin]int // see maxTried, by the file or ConfigMap
	served    map[Ref]*Sidecar
	good      map[Origin][]*Sidecar
	kept      map[entry]bool // what is in good
	// followsPaths tells that files were looked for that are not among the documents.
	followsPaths bool
	rejections   []Rejection
}

// entry is a ref in a file or key, whose origin has no index.
type entry struct {
	file Origin
	ref  Ref
}

func newLoading(ended func() error, rules Rules, previous *Set, documents int) *loading {
	l := &loading{
		ended:     ended,
		rules:     rules,
		standards: previous.standards,
		previous:  previous,
		past:      make(map[entry]*Sidecar, len(previous.good)),
		files:     make(map[Origin][]Origin),
		parsed:    make(map[Origin]*parsed, documents),
		defined:   make(map[entry]bool, documents),
		byRef:     make(map[Ref]*parsed, documents),
		later:     make(map[*parsed]*Error),
		links:     make(map[*parsed]link, documents),
		flat:      make(map[*parsed]flattened, documents),
		inherited: make(map[Origin]int),
		spent:     make(map[Origin]int),
		tried:     make(map[Origin]int),
		served:    make(map[Ref]*Sidecar, documents),
		good:      make(map[Origin][]*Sidecar, documents),
		kept:      make(map[entry]bool, documents),
	}
	if l.standards == nil {
		l.standards = podrules.NewStandards()
	}
	for file, sidecars := range previous.good {
		l.files[file.holder()] = append(l.files[file.holder()], file)
		for _, old := range sidecars {
			l.past[entry{file, old.Ref}] = old
		}
	}
	return l
}

// add parses a document unless the previous load did.
func (l *loading) add(document Document) {
	var p *parsed
	err := l.bounded(func() error {
		p = l.parseAgain(l.previous.parsed[document.Origin], document)
		return nil
	})
	if err != nil {
		p = &parsed{document: document, again: true}
		p.reject(0, err)
	}
	l.parsed[document.Origin] = p
	l.order = append(l.order, p)
	l.defined[entry{document.Origin.whole(), p.ref}] = true
	l.nameless = l.nameless || p.ref == Ref{}
}

// parseAgain takes over an earlier result for the same bytes, which may be nil.
func (l *loading) parseAgain(earlier *parsed, document Document) *parsed {
	if earlier == nil || l.previous.rules != l.rules || earlier.again || !earlier.still(document) {
		return parse(document, l)
	}
	same := *earlier
	same.document, same.cost, same.tried = document, 0, 0
	if l.charge(&same, earlier.cost) != nil || !l.affordTry(&same, earlier.tried) {
		return parse(document, l)
	}
	return &same
}

// still reports whether a document is the one that was parsed.
func (p *parsed) still(document Document) bool {
	return document.Err == nil && p.document.Err == nil && document.Line == p.document.Line &&
		document.Created.Equal(p.document.Created) && bytes.Equal(document.Content, p.document.Content)
}

// claim assigns each ref to the oldest document that defines it, whether that document is valid or not:
// a typo must not transfer a ref to another owner. A document that could not be decoded claims the names that
// a scan found in it. Where that is no name that its file had before, it may be any of those, so it claims
// them all.
func (l *loading) claim(list []*parsed) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *parsed) int { return compareAge(a.document, b.document) })
	claimed := make(map[Origin]bool)
	for _, p := range list {
		if p.ref == (Ref{}) {
			l.claimUncertain(p, claimed)
			continue
		}
		if first := l.claimFor(p, p.ref); first != p {
			fault := field.Duplicate(field.NewPath("name"), p.ref.String())
			fault.Detail = fmt.Sprintf("defined first by %s", first.document.Origin)
			l.later[p] = &Error{Origin: p.document.Origin, Line: p.nameLine, Err: fault}
		}
	}
}

// claimUncertain claims what a document may define whose name cannot be read. Done are the files whose earlier
// refs are claimed.
func (l *loading) claimUncertain(p *parsed, done map[Origin]bool) {
	known := false
	for _, ref := range p.names {
		l.claimFor(p, ref)
		known = known || l.past[entry{p.document.Origin.whole(), ref}] != nil
	}
	if known && p.document.Err == nil {
		return
	}
	for _, old := range l.missingOnce(p.document.Origin, done) {
		l.claimFor(p, old.Ref)
	}
}

// claimFor assigns the ref to the document unless it is taken, and returns its owner.
func (l *loading) claimFor(p *parsed, ref Ref) *parsed {
	if l.byRef[ref] == nil {
		l.byRef[ref] = p
	}
	return l.byRef[ref]
}

// missingOnce are the sidecars that a file or key gave before and that none of its documents
// defines now, as far as their names can be read. There are none for a file that is in done, to
// which it is added: the first of its documents speaks for the others.
func (l *loading) missingOnce(of Origin, done map[Origin]bool) []*Sidecar {
	if done[of.whole()] {
		return nil
	}
	done[of.whole()] = true
	var found []*Sidecar
	for _, file := range l.covers(of) {
		for _, old := range l.previous.good[file] {
			if !l.defined[entry{file, old.Ref}] {
				found = append(found, old)
			}
		}
	}
	return found
}

// covers are the files or keys that a document stands for: its own, or all that a ConfigMap had
// before it was refused as a whole.
func (l *loading) covers(of Origin) []Origin {
	if !of.isConfigMap() {
		return []Origin{of.whole()}
	}
	return slices.SortedFunc(slices.Values(l.files[of.whole()]), Origin.Compare)
}

// faults are those of the document itself and, where its ref was taken, that.
func (l *loading) faults(p *parsed) []error {
	if taken := l.later[p]; taken != nil {
		return append(slices.Clone(p.faults), taken)
	}
	return p.faults
}

// wrong is all that keeps a document, which is flattened, from being served.
func (l *loading) wrong(p *parsed) []error {
	faults, flat := l.faults(p), l.flat[p]
	if flat.err != nil {
		faults = append(slices.Clone(faults), flat.err)
	}
	return slices.Concat(faults, flat.unconsented)
}

// serve encodes a document that is right, or rejects it.
func (l *loading) serve(p *parsed) {
	var sidecar *Sidecar
	var faults []error
	err := l.bounded(func() (err error) {
		flat := l.flatten(p)
		if faults = l.wrong(p); len(faults) == 0 {
			if sidecar, err = encode(p, flat.tree); err == nil {
				sidecar.Level = flat.power.level
			}
		}
		return err
	})
	if err != nil {
		faults = append(slices.Clone(faults), &Error{Origin: p.document.Origin, Err: err})
	}
	if len(faults) > 0 {
		l.rejections = append(l.rejections, Rejection{Origin: p.document.Origin, Errors: joined(faults)})
		return
	}
	l.served[p.ref] = sidecar
	l.keep(sidecar)
}

// rejectBases shows what is wrong with files that are only bases: those that inherit from
// them say no more than where to look.
func (l *loading) rejectBases(listed []*parsed) {
	for _, p := range l.order[len(listed):] {
		if faults := l.wrong(p); len(faults) > 0 {
			l.rejections = append(l.rejections, Rejection{Origin: p.document.Origin, Errors: joined(faults)})
		}
	}
}

// fallBack keeps in service what the rejected documents gave before, as far as no other document
// serves it now. The oldest document goes first: the last valid version of an owner comes before that of
// a document that claimed the same ref in vain.
func (l *loading) fallBack() {
	slices.SortStableFunc(l.rejections, func(a, b Rejection) int {
		return compareAge(l.parsed[a.Origin].document, l.parsed[b.Origin].document)
	})
	defer slices.SortFunc(l.rejections, compareRejections)
	given := make(map[Origin]bool)
	for i := range l.rejections {
		rejection := &l.rejections[i]
		for _, old := range l.before(rejection.Origin, given) {
			l.keep(old)
			if l.served[old.Ref] != nil {
				continue
			}
			stale := *old
			stale.Stale = true
			if l.parsed[rejection.Origin].document.Err == nil {
				stale.Origin = rejection.Origin // it may have moved inside its file
			}
			l.served[old.Ref] = &stale
			rejection.Stale = append(rejection.Stale, old.Ref)
		}
	}
}

// before is what a rejected document gave when it was good last: the sidecar of its name or,
// where its file knew none of that name, whatever the file does not define any more. That may
// be more than it gave, but a slip never unloads anything. Given are the files for which the
// latter is done.
func (l *loading) before(rejected Origin, given map[Origin]bool) []*Sidecar {
	if old := l.past[entry{rejected.whole(), l.parsed[rejected].ref}]; old != nil {
		return []*Sidecar{old}
	}
	return l.missingOnce(rejected, given)
}

// keep notes a sidecar as the last good one of its ref and file, also while somebody else
// serves the ref.
func (l *loading) keep(s *Sidecar) {
	file := s.Origin.whole()
	if at := (entry{file, s.Ref}); !l.kept[at] {
		l.kept[at] = true
		l.good[file] = append(l.good[file], s)
	}
}

func (l *loading) set() *Set {
	s := &Set{
		Rejections: l.rejections, rules: l.rules, standards: l.standards,
		parsed: l.parsed, good: l.good, followsPaths: l.followsPaths,
		owners: make(map[Ref]Origin, len(l.byRef)),
	}
	for ref, owner := range l.byRef {
		s.owners[ref] = owner.document.Origin
	}
	for _, sidecar := range l.served {
		s.Sidecars = append(s.Sidecars, sidecar)
	}
	slices.SortFunc(s.Sidecars, compareSidecars)
	sum := sha256.New()
	for _, sidecar := range s.Sidecars {
		fmt.Fprintln(sum, sidecar.Ref, sidecar.Digest)
	}
	s.Digest = hex.EncodeToString(sum.Sum(nil))
	return s
}

// Documents turns a file system's YAML files, read flat and without dot files, into
// documents. It serves file systems that do not change, such as Samples.
func Documents(files fs.FS, place string) ([]Document, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	var documents []Document
	for _, entry := range entries {
		if entry.IsDir() || !isPath(entry.Name()) || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		content, err := fs.ReadFile(files, entry.Name())
		if err != nil {
			return nil, err
		}
		documents = append(documents, Split(Origin{Place: place, Name: entry.Name()}, content, files)...)
	}
	return documents, nil
}
