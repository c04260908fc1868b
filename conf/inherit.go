package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// A base may have many heirs. These limits keep the memory of a load proportional to its input.
const (
	maxDepth     = 100     // bases in a chain
	maxInherited = 4 << 20 // bytes of JSON that the documents of one file or ConfigMap inherit in all
)

// flattened is a document merged with its chain of bases.
type flattened struct {
	tree     tree
	size     int    // in bytes of JSON, with overridden values
	depth    int    // number of bases in the chain
	err      *Error // why inheritance failed
	security podSecurity
	// levelFaults is set if the source of the document may not use the level.
	levelFaults []error
}

// link is the result of resolving inherits. Both fields are nil if the document inherits nothing.
type link struct {
	base *parsed
	err  error
}

// flatten merges the document with its bases. Each document of the chain is flattened once.
func (l *loader) flatten(p *parsed) flattened {
	chain, ring := l.follow(p)
	for _, member := range ring {
		l.flat[member] = member.inheritsFault("a cycle: " + formatCycle(ring))
	}
	for _, heir := range slices.Backward(chain) {
		l.flat[heir] = l.flattenOver(heir, l.links[heir])
	}
	return l.flat[p]
}

// follow returns the chain of documents that starts with p, up to the first one that is flattened already. If
// the chain ends in a cycle, its members are returned apart.
func (l *loader) follow(p *parsed) (chain, ring []*parsed) {
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

// flattenOver merges a document with its base, which is flattened already.
func (l *loader) flattenOver(p *parsed, to link) flattened {
	if to.err != nil {
		return p.inheritsFault(to.err.Error())
	}
	if to.base == nil {
		return flattened{tree: p.tree, size: p.size, security: p.security, levelFaults: l.levelFaults(p, p.security)}
	}
	base := l.flat[to.base]
	if len(l.faults(to.base)) > 0 {
		return p.inheritsFault(fmt.Sprintf("its base %q (%s) is rejected", p.inherits, to.base.document.Origin))
	}
	if len(p.faults) > 0 {
		return flattened{}
	}
	if err := l.chargeInherited(p, base); err != nil {
		return p.inheritsFault(err.Error())
	}
	flat := flattened{tree: merge(base.tree, p.tree), size: base.size + p.size, depth: base.depth + 1}
	d, err := l.validateMerged(p, flat)
	if err != nil {
		flat.err = err
		return flat
	}
	flat.security = l.evaluate(d)
	flat.levelFaults = l.levelFaults(p, flat.security)
	return flat
}

// chargeInherited checks the limits of inheritance before the merge.
func (l *loader) chargeInherited(p *parsed, base flattened) error {
	if base.depth == maxDepth {
		return fmt.Errorf("the chain has more than %d bases; inherit from a base with fewer bases", maxDepth)
	}
	used := l.usageOf(p)
	if used.inherited+base.size > maxInherited {
		return fmt.Errorf("the documents of one file or ConfigMap may inherit %d MiB in all, and this is more; "+
			"make the base smaller, or use several files or ConfigMaps", maxInherited>>20)
	}
	used.inherited += base.size
	return nil
}

// inheritsFault returns the result for a document whose inherits cannot be resolved.
func (p *parsed) inheritsFault(detail string) flattened {
	fault := field.Invalid(field.NewPath("inherits"), field.OmitValueType{}, detail)
	return flattened{err: &Error{Origin: p.document.Origin, Line: p.inheritsLine, Err: fault}}
}

// validateMerged reports the faults that neither the base nor the child has alone, such as a container name in
// two lists. It returns the merged definition.
func (l *loader) validateMerged(p *parsed, flat flattened) (*definition, *Error) {
	heir := &parsed{document: p.document}
	d, faults, err := mergedFaults(flat.tree, func() bool { return l.affordTry(heir, flat.size) })
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

// base returns the document that inherits refers to.
func (l *loader) base(p *parsed) (*parsed, error) {
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
	if l.unnamed {
		return nil, fmt.Errorf("no sidecar %s is defined; the names of some documents cannot be read", ref)
	}
	return nil, fmt.Errorf("no sidecar %s is defined", ref)
}

// isPath reports whether inherits is a path. Otherwise, it is a ref.
func isPath(inherits string) bool {
	return strings.HasSuffix(inherits, ".yaml") || strings.HasSuffix(inherits, ".yml")
}

// baseByPath returns the document of the file at a path relative to the file that inherits.
func (l *loader) baseByPath(p *parsed) (*parsed, error) {
	origin := p.document.Origin.whole()
	if origin.Kind == ConfigMap {
		return nil, errors.New("a configmap inherits by ref only, not by path")
	}
	if path.IsAbs(p.inherits) {
		return nil, errors.New("the path must be relative to this file")
	}
	origin.Name = path.Join(path.Dir(origin.Name), p.inherits)
	if !fs.ValidPath(origin.Name) {
		return nil, errors.New("the path leaves the config directory")
	}
	base := l.file(origin)
	if base == nil {
		return nil, fmt.Errorf("the config directory has no file %q", clipped(origin.Name))
	}
	second := origin
	second.Index = 1
	if l.parsed[second] != nil {
		return nil, errors.New("the file has several documents; inherit from one of them by its ref")
	}
	return base, nil
}

// file returns the first document of a file, or nil if there is no such file. Base-only documents are parsed
// here, so that unused ones cost nothing. A directory that cannot be read stands for each file below it.
func (l *loader) file(origin Origin) *parsed {
	if l.parsed[origin] != nil {
		return l.parsed[origin]
	}
	for at := origin; at.Name != "."; at.Name = path.Dir(at.Name) {
		documents, found := l.bases[at]
		if !found {
			continue
		}
		if l.parsed[at] == nil {
			for _, document := range documents {
				l.add(document)
			}
		}
		return l.parsed[at]
	}
	return nil
}

// maxCycleShown bounds the error of each member of a cycle.
const maxCycleShown = 10

// formatCycle lists the refs of a cycle, each followed by its base.
func formatCycle(ring []*parsed) string {
	var names []string
	for _, p := range ring[:min(len(ring), maxCycleShown)] {
		names = append(names, p.ref.String())
	}
	if more := len(ring) - maxCycleShown; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(append(names, ring[0].ref.String()), " -> ")
}
