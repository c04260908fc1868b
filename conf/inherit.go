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

// flattened is a document together with all that it inherits.
type flattened struct {
	tree tree
	err  *Error // why there is none
	// cycle are the documents that inherit from each other, if that is why.
	cycle []*parsed
}

// flatten resolves what the document inherits, base first. The chain holds the documents
// that are being flattened, to find cycles.
func (l *loading) flatten(p *parsed, chain []*parsed) flattened {
	if done, ok := l.flat[p]; ok {
		return done
	}
	result := l.flattenOnce(p, chain)
	l.flat[p] = result
	return result
}

func (l *loading) flattenOnce(p *parsed, chain []*parsed) flattened {
	if p.inherits == "" {
		return flattened{tree: p.tree}
	}
	base, err := l.base(p)
	if err != nil {
		return p.broken(err.Error())
	}
	chain = append(chain, p)
	if at := slices.Index(chain, base); at >= 0 {
		return p.inCycle(slices.Clone(chain[at:]))
	}
	under := l.flatten(base, chain)
	if slices.Contains(under.cycle, p) {
		return p.inCycle(under.cycle)
	}
	if len(l.faults(base)) > 0 || under.err != nil {
		return p.broken(fmt.Sprintf("its base %q (%s) is rejected", p.inherits, base.document.Origin))
	}
	if len(p.faults) > 0 {
		return flattened{}
	}
	merged := merge(under.tree, p.tree)
	return flattened{tree: merged, err: p.checkMerged(merged)}
}

// broken is the result for a document whose inherits cannot be followed.
func (p *parsed) broken(why string) flattened {
	fault := field.Invalid(field.NewPath("inherits"), p.inherits, why)
	return flattened{err: &Error{Origin: p.document.Origin, Line: p.inheritsLine, Err: fault}}
}

// inCycle is the result for a document that inherits from itself by way of others.
func (p *parsed) inCycle(members []*parsed) flattened {
	result := p.broken("a cycle: " + cycle(members, members[0]))
	result.cycle = members
	return result
}

// checkMerged finds what only the combination of base and child has: two lists that now
// share a name, or two mounts a path.
func (p *parsed) checkMerged(merged tree) *Error {
	d, err := typed(merged)
	if err == nil {
		if faults := validateLists(d); len(faults) > 0 {
			err = faults.ToAggregate()
		}
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("with what it inherits from %q: %w", p.inherits, err)
	return &Error{Origin: p.document.Origin, Line: p.inheritsLine, Err: err}
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
	if slices.ContainsFunc(l.order, func(other *parsed) bool { return other.ref == (Ref{}) }) {
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

// cycle shows who inherits from whom.
func cycle(chain []*parsed, back *parsed) string {
	var names []string
	for _, p := range chain[:min(len(chain), mostShown)] {
		names = append(names, p.ref.String())
	}
	if more := len(chain) - mostShown; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(append(names, back.ref.String()), " -> ")
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
	if aliases := slices.Concat(elements(base, "hostAliases"), elements(child, "hostAliases")); len(aliases) > 0 {
		merged["hostAliases"] = aliases
	}
	return merged
}

// mergeNamed puts the child's elements in the place of the base's of the same name, and
// behind them where there are none.
func mergeNamed(merged tree, list string, base, child tree) {
	result := slices.Clone(elements(base, list))
	for _, element := range elements(child, list) {
		name := nameOf(element)
		at := slices.IndexFunc(result, func(e any) bool { return nameOf(e) == name })
		if at >= 0 {
			result[at] = element
		} else {
			result = append(result, element)
		}
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
