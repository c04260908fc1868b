package conf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Load makes a set of all documents of all sources, in any order. A document that is
// invalid, or whose base is, becomes a rejection and does not disturb the others; what its
// origin served in the previous set is served further, marked stale. Only documents whose
// bytes differ from those in the previous set are parsed. The previous set is nil at the
// first load, and is not changed.
func Load(documents []Document, previous *Set) *Set {
	if previous == nil {
		previous = &Set{}
	}
	l := &loading{
		previous: previous,
		parsed:   make(map[Origin]*parsed, len(documents)),
		byRef:    make(map[Ref]*parsed, len(documents)),
		later:    make(map[*parsed]*Error),
		flat:     make(map[*parsed]flattened, len(documents)),
		served:   make(map[Ref]*Sidecar, len(documents)),
	}
	documents = slices.Clone(documents)
	slices.SortStableFunc(documents, func(a, b Document) int { return a.Origin.Compare(b.Origin) })
	for _, document := range documents {
		l.add(document)
	}
	list := slices.Clone(l.order)
	l.claim(list)
	for _, p := range list {
		l.serve(p)
	}
	l.rejectBases(list)
	l.fallBack()
	return l.set()
}

// loading is the state of one Load.
type loading struct {
	previous   *Set
	order      []*parsed // by origin; bases that were read on the way come last
	parsed     map[Origin]*parsed
	byRef      map[Ref]*parsed
	later      map[*parsed]*Error // those whose ref is taken
	flat       map[*parsed]flattened
	served     map[Ref]*Sidecar
	rejections []Rejection
}

// add parses a document unless the previous load did.
func (l *loading) add(document Document) {
	p := parseAgain(l.previous.parsed[document.Origin], document)
	l.parsed[document.Origin] = p
	l.order = append(l.order, p)
}

// parseAgain takes over an earlier result for the same bytes, which may be nil.
func parseAgain(earlier *parsed, document Document) *parsed {
	if earlier == nil || document.Err != nil || earlier.document.Err != nil ||
		document.Line != earlier.document.Line || !bytes.Equal(document.Content, earlier.document.Content) {
		return parse(document)
	}
	same := *earlier
	same.document = document
	return &same
}

// claim gives each ref to the first document that defines it, be that document otherwise
// right or wrong: somebody's slip must not hand their sidecar to somebody else.
func (l *loading) claim(list []*parsed) {
	for _, p := range list {
		if p.ref == (Ref{}) {
			continue
		}
		first := l.byRef[p.ref]
		if first == nil {
			l.byRef[p.ref] = p
			continue
		}
		fault := field.Duplicate(field.NewPath("name"), p.ref.String())
		fault.Detail = fmt.Sprintf("defined first by %s", first.document.Origin)
		l.later[p] = &Error{Origin: p.document.Origin, Line: p.nameLine, Err: fault}
	}
}

// faults are those of the document itself and, where its ref was taken, that.
func (l *loading) faults(p *parsed) []error {
	if taken := l.later[p]; taken != nil {
		return append(slices.Clone(p.faults), taken)
	}
	return p.faults
}

// serve encodes a document that is right, or rejects it.
func (l *loading) serve(p *parsed) {
	flat := l.flatten(p, nil)
	faults := l.faults(p)
	if flat.err != nil {
		faults = append(slices.Clone(faults), flat.err)
	}
	if len(faults) == 0 {
		sidecar, err := encode(p, flat.tree)
		if err == nil {
			l.served[p.ref] = sidecar
			return
		}
		faults = []error{&Error{Origin: p.document.Origin, Err: err}}
	}
	l.rejections = append(l.rejections, Rejection{Origin: p.document.Origin, Errors: joined(faults)})
}

// rejectBases shows what is wrong with files that are only bases: those that inherit from
// them say no more than where to look.
func (l *loading) rejectBases(listed []*parsed) {
	for _, p := range l.order[len(listed):] {
		faults := p.faults
		if flat := l.flat[p]; flat.err != nil {
			faults = append(slices.Clone(faults), flat.err)
		}
		if len(faults) > 0 {
			l.rejections = append(l.rejections, Rejection{Origin: p.document.Origin, Errors: joined(faults)})
		}
	}
}

// fallBack keeps in service what the rejected origins served before, as far as nobody else
// serves it now. What a document says of itself goes before the place where it stands, because
// other documents of its file come and go.
func (l *loading) fallBack() {
	slices.SortFunc(l.rejections, compareRejections)
	l.keep(l.speaksFor)
	l.keep(l.standsFor)
}

// keep serves further the sidecars that a rejection covers.
func (l *loading) keep(covers func(rejected *parsed, old *Sidecar) bool) {
	for i := range l.rejections {
		rejection := &l.rejections[i]
		rejected := l.parsed[rejection.Origin]
		for _, old := range l.previous.Sidecars {
			if l.served[old.Ref] != nil || rejection.Origin.whole() != old.Origin.whole() || !covers(rejected, old) {
				continue
			}
			stale := *old
			stale.Stale = true
			if rejected.document.Err == nil {
				stale.Origin = rejection.Origin // it may have moved inside its file
			}
			l.served[old.Ref] = &stale
			rejection.Stale = append(rejection.Stale, old.Ref)
		}
	}
}

// speaksFor tells whether a rejected document defines the sidecar that its file served before,
// or is all of a file that could not be read.
func (l *loading) speaksFor(rejected *parsed, old *Sidecar) bool {
	return rejected.document.Err != nil || rejected.ref == old.Ref
}

// standsFor tells whether a rejected document took the place of a sidecar that its file served
// before, such as by a new name. One that has a sidecar of its own did not.
func (l *loading) standsFor(rejected *parsed, old *Sidecar) bool {
	own := func(s *Sidecar) bool {
		return s.Ref == rejected.ref && s.Origin.whole() == old.Origin.whole()
	}
	return rejected.document.Origin == old.Origin && !slices.ContainsFunc(l.previous.Sidecars, own)
}

func (l *loading) set() *Set {
	s := &Set{Rejections: l.rejections, parsed: l.parsed}
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
