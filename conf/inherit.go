package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxDepth is the length of the longest chain of bases. With maxInherited, which is how many bytes
// of JSON the documents of one file or ConfigMap may inherit in all, it keeps what a load makes in
// proportion to what it reads: a large base can have many heirs.
const (
	maxDepth     = 100
	maxInherited = 4 << 20
)

// flattened is a document together with all that it inherits.
type flattened struct {
	tree  tree
	size  int    // in bytes of JSON, with what was replaced
	depth int    // the number of bases, one below the other
	err   *Error // why there is none
	power power
	// unconsented says that the document may not need that power.
	unconsented []error
}

// link leads from a document to its base. It has neither where nothing is inherited.
type link struct {
	base *parsed
	err  error
}

// flatten resolves what the document inherits, base first.
func (l *loading) flatten(p *parsed) flattened {
	chain, ring := l.follow(p)
	for _, member := range ring {
		l.flat[member] = member.broken("a cycle: " + cycle(ring))
	}
	for _, heir := range slices.Backward(chain) {
		l.flat[heir] = l.flattenOver(heir, l.links[heir])
	}
	return l.flat[p]
}

// follow gives the documents of the chain that begins with one, as far as they are not flattened
// yet, and apart from them the cycle that they may end in.
func (l *loading) follow(p *parsed) (chain, ring []*parsed) {
	for p != nil {
		if _, done := l.flat[p]; done {
			break
		}
		if _, seen := l.links[p]; seen {
			at := slices.Index(chain, p)
			return chain[:at], chain[at:]
		}
		var next link
		if p.inherits != "" {
			next.base, next.err = l.base(p)
		}
		l.links[p] = next
		chain = append(chain, p)
		p = next.base
	}
	return chain, nil
}

// flattenOver lays a document over its base, which is flattened already.
func (l *loading) flattenOver(p *parsed, to link) flattened {
	if to.err != nil {
		return p.broken(to.err.Error())
	}
	if to.base == nil {
		return flattened{tree: p.tree, size: p.size, power: p.power, unconsented: l.unconsented(p, p.power)}
	}
	under := l.flat[to.base]
	if len(l.wrong(to.base)) > 0 {
		return p.broken(fmt.Sprintf("its base %q (%s) is rejected", p.inherits, to.base.document.Origin))
	}
	if len(p.faults) > 0 {
		return flattened{}
	}
	if why := l.overLimit(p, under); why != "" {
		return p.broken(why)
	}
	merged := merge(under.tree, p.tree)
	flat := flattened{tree: merged, size: under.size + p.size, depth: under.depth + 1}
	d, err := l.checkMerged(p, merged, flat.size)
	if err != nil {
		flat.err = err
		return flat
	}
	flat.power = l.powerOf(d)
	flat.unconsented = l.unconsented(p, flat.power)
	return flat
}

// overLimit tells why a document may not inherit that much, before any work is done for it. What
// it may is counted.
func (l *loading) overLimit(p *parsed, under flattened) string {
	if under.depth == maxDepth {
		return fmt.Sprintf("the chain is longer than %d bases: inherit from one that is nearer to its end", maxDepth)
	}
	holder := p.document.Origin.holder()
	if l.inherited[holder]+under.size > maxInherited {
		return fmt.Sprintf("the documents of one file or ConfigMap may inherit %d MiB in all, and this is more: "+
			"make the base smaller, or use several files or ConfigMaps", maxInherited>>20)
	}
	l.inherited[holder] += under.size
	return ""
}

// broken is the result for a document whose inherits cannot be followed.
func (p *parsed) broken(why string) flattened {
	fault := field.Invalid(field.NewPath("inherits"), field.OmitValueType{}, why)
	return flattened{err: &Error{Origin: p.document.Origin, Line: p.inheritsLine, Err: fault}}
}

// checkMerged finds what only the combination of base and child has: two lists that now
// share a name, or two mounts a path, and what is wrong where a parameter of one stands in the
// other. It gives the combination as Go types.
func (l *loading) checkMerged(p *parsed, merged tree, size int) (*definition, *Error) {
	heir := &parsed{document: p.document}
	d, faults, err := mergedFaults(merged, func() bool { return l.affordTry(heir, size) })
	for i := range faults {
		faults[i] = withoutValue(faults[i])
	}
	if err == nil && len(faults) > 0 {
		err = faults.ToAggregate()
	}
	if err == nil {
		return d, nil
	}
	err = fmt.Errorf("with what it inherits from %q: %w", p.inherits, err)
	return nil, &Error{Origin: p.document.Origin, Line: p.inheritsLine, Err: err}
}

func mergedFaults(merged tree, affordable func() bool) (*definition, field.ErrorList, error) {
	if !mayHaveParameters(merged) {
		d, err := typed(merged)
		if err != nil {
			return nil, nil, err
		}
		return d, validate(d), nil
	}
	decoded := decodeDefinition(merged)
	faults := decoded.faults.first
	d, found, err := decoded.validate(faults, affordable)
	return d, append(faults, found...), err
}

// base finds the document that inherits names.
func (l *loading) base(p *parsed) (*parsed, error) {
	if isPath(p.inherits) {
		return l.baseByPath(p)
	}
	ref, err := ParseRef(p.inherits)
	if err != nil {
		return nil, err
	}
	if base := l.byRef[ref]; base != nil {
		return base, nil
	}
	if l.nameless {
		return nil, fmt.Errorf("no sidecar %s is defined, as far as names can be read", ref)
	}
	return nil, fmt.Errorf("no sidecar %s is defined", ref)
}

// isPath tells a path from a ref by its ending.
func isPath(inherits string) bool {
	return strings.HasSuffix(inherits, ".yaml") || strings.HasSuffix(inherits, ".yml")
}

// baseByPath finds a file by its path relative to the one that inherits. A file that is not
// among the documents, because it is in a subdirectory, is read here.
func (l *loading) baseByPath(p *parsed) (*parsed, error) {
	document := p.document
	if document.Files == nil {
		return nil, fmt.Errorf("a %s inherits by ref only, not by path", kindName(document.Origin.Kind))
	}
	name := path.Join(path.Dir(document.Origin.Name), p.inherits)
	if path.IsAbs(p.inherits) {
		return nil, errors.New("the path must be relative to this file")
	}
	if !fs.ValidPath(name) {
		return nil, errors.New("the path leaves the config directory")
	}
	origin := document.Origin.whole()
	origin.Name = name
	if l.parsed[origin] == nil {
		if err := l.read(origin, document.Files); err != nil {
			return nil, err
		}
	}
	second := origin
	second.Index = 1
	if l.parsed[second] != nil {
		return nil, errors.New("the file holds several documents: inherit one of them by its ref")
	}
	return l.parsed[origin], nil
}

// read adds a file that is only a base: it is not served by itself.
func (l *loading) read(origin Origin, files fs.FS) error {
	l.followsPaths = true
	content, err := fs.ReadFile(files, origin.Name)
	if err != nil {
		return fmt.Errorf("cannot read the file: %w", err)
	}
	for _, document := range Split(origin, content, files) {
		l.add(document)
	}
	return nil
}

func kindName(kind Kind) string {
	if kind == ConfigMap {
		return "configmap"
	}
	return "document of this source"
}

// mostShown keeps the error of each member of a large cycle short.
const mostShown = 10

// cycle shows who inherits from whom, the first from the last.
func cycle(ring []*parsed) string {
	var names []string
	for _, p := range ring[:min(len(ring), mostShown)] {
		names = append(names, p.ref.String())
	}
	if more := len(ring) - mostShown; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(append(names, ring[0].ref.String()), " -> ")
}

// merge lays a child over its flattened base. Neither is changed.
func merge(base, child tree) tree {
	merged := maps.Clone(base)
	for key, value := range child {
		if value != nil {
			merged[key] = value
		}
	}
	for _, list := range namedLists() {
		mergeNamed(merged, list, base, child)
	}
	for _, list := range appendedLists() {
		if both := slices.Concat(elements(base, list), elements(child, list)); len(both) > 0 {
			merged[list] = both
		}
	}
	for _, name := range overlaidMaps() {
		if both := overlay(base[name], child[name]); len(both) > 0 {
			merged[name] = both
		}
	}
	return merged
}

// overlay gives the members of both objects; those of the second win.
func overlay(base, child any) tree {
	under, _ := base.(tree)
	over, _ := child.(tree)
	both := make(tree, len(under)+len(over))
	maps.Copy(both, under)
	maps.Copy(both, over)
	return both
}

// mergeNamed puts the child's elements in the place of the base's of the same name, and
// behind them where there are none.
func mergeNamed(merged tree, list string, base, child tree) {
	result := slices.Clone(elements(base, list))
	at := make(map[string]int, len(result))
	for i, element := range slices.Backward(result) {
		at[nameOf(element)] = i
	}
	for _, element := range elements(child, list) {
		name := nameOf(element)
		if i, found := at[name]; found {
			result[i] = element
			continue
		}
		at[name] = len(result)
		result = append(result, element)
	}
	if len(result) > 0 {
		merged[list] = result
	}
}

// elements is the list of that name; nil where it is absent or null.
func elements(t tree, list string) []any {
	found, _ := t[list].([]any)
	return found
}

func nameOf(element any) string {
	name, _ := element.(tree)["name"].(string)
	return name
}
