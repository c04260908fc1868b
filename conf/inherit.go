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
	size     int // in bytes of JSON, with overridden values
	depth    int // number of bases in the chain
	base     *Base
	security podSecurity
	warnings []*Error
}

// flatten merges the document with its bases. Each document of the chain is flattened once.
func (l *loader) flatten(p *loaded) {
	var chain []*loaded
	for ; p != nil && !p.resolved; p = p.base {
		p.resolved = true
		if p.inherits != "" {
			var err error
			if p.base, err = l.base(p); err != nil {
				p.failInherits(err.Error())
			}
		}
		chain = append(chain, p)
	}
	if at := slices.Index(chain, p); at >= 0 {
		ring := chain[at:]
		cycle := formatCycle(ring)
		for _, member := range ring {
			member.failInherits(cycle)
		}
		chain = chain[:at]
	}
	for _, heir := range slices.Backward(chain) {
		if heir.flat = l.flattenOver(heir); heir.flat != nil {
			l.checkLevel(heir)
		}
	}
}

// flattenOver merges a document with its base, which is flattened already. It returns nil if there are faults.
func (l *loader) flattenOver(p *loaded) *flattened {
	switch {
	case p.inherits == "":
		return &flattened{tree: p.tree, size: p.size, security: p.security, warnings: p.warnings}
	case p.base == nil:
		return nil
	case len(p.base.all) > 0:
		p.failInherits(fmt.Sprintf("its base %q (%s) is rejected", p.inherits, p.base.document.Origin))
		return nil
	case len(p.faults) > 0:
		return nil
	}
	base := p.base.flat
	if err := l.chargeInherited(p, base); err != nil {
		p.failInherits(err.Error())
		return nil
	}
	flat := &flattened{tree: merge(base.tree, p.tree), size: base.size + p.size, depth: base.depth + 1}
	flat.base = &Base{Ref: p.base.ref, Origin: p.base.document.Origin, next: base.base}
	decoded := decodeFlat(flat.tree)
	d, err := l.validateMerged(p, decoded, flat.size)
	if err != nil {
		p.fail(p.inheritsLine, fmt.Errorf("with what it inherits from %q: %w", p.inherits, err))
		return nil
	}
	flat.security, flat.warnings = l.evaluate(d), p.warn(decoded, d, outline{})
	return flat
}

// chargeInherited checks the limits of inheritance before the merge.
func (l *loader) chargeInherited(p *loaded, base *flattened) error {
	if base.depth == maxDepth {
		return fmt.Errorf("the chain has more than %d bases; inherit from a base with fewer bases", maxDepth)
	}
	used := l.usageOf(p.parsed)
	if used.inherited+base.size > maxInherited {
		return fmt.Errorf("the documents of one file or ConfigMap may inherit %d MiB in all, and this is more; "+
			"make the base smaller, or use several files or ConfigMaps", maxInherited>>20)
	}
	used.inherited += base.size
	return nil
}

// failInherits adds the fault that inherits cannot be resolved.
func (p *loaded) failInherits(detail string) {
	p.fail(p.inheritsLine, field.Invalid(field.NewPath("inherits"), field.OmitValueType{}, detail))
}

// validateMerged returns the merged definition. The error has the faults that neither the base nor the child has
// alone, such as a container name in two lists.
func (l *loader) validateMerged(p *loaded, decoded *decoded, size int) (*definition, error) {
	heir := &parsed{document: p.document}
	d, found := decoded.validate(decoded.faults, func() bool { return l.affordTry(heir, size) })
	faults := slices.Concat(decoded.faults, found, validateCopyTargets(d))
	for i := range faults {
		faults[i] = withoutValue(faults[i])
	}
	return d, faults.ToAggregate()
}

// base returns the document that inherits refers to.
func (l *loader) base(p *loaded) (*loaded, error) {
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
	return nil, fmt.Errorf("no sidecar %s is defined%s", ref, l.suggestBase(p, ref))
}

// maxCompared bounds the refs that a missing base is compared with.
const maxCompared = 1000

// suggestBase returns a suggestion of another ref, or an empty string.
func (l *loader) suggestBase(p *loaded, missing Ref) string {
	if len(l.byRef) > maxCompared {
		return ""
	}
	return DidYouMean(missing.String(), func(yield func(string) bool) {
		for ref := range l.byRef {
			if ref != p.ref && !yield(ref.String()) {
				return
			}
		}
	})
}

// isPath reports whether inherits is a path. Otherwise, it is a ref.
func isPath(inherits string) bool {
	return strings.HasSuffix(inherits, ".yaml") || strings.HasSuffix(inherits, ".yml")
}

// baseByPath returns the document of the file at a path relative to the file that inherits.
func (l *loader) baseByPath(p *loaded) (*loaded, error) {
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
	if l.byOrigin[second] != nil {
		return nil, errors.New("the file has several documents; inherit from one of them by its ref")
	}
	return base, nil
}

// file returns the first document of a file, or nil if there is no such file. Base-only documents are parsed
// here, so that unused ones cost nothing. A directory that cannot be read stands for each file below it.
func (l *loader) file(origin Origin) *loaded {
	if l.byOrigin[origin] != nil {
		return l.byOrigin[origin]
	}
	for at := origin; at.Name != "."; at.Name = path.Dir(at.Name) {
		documents, found := l.bases[at]
		if !found {
			continue
		}
		if l.byOrigin[at] == nil {
			for _, document := range documents {
				l.add(document)
			}
		}
		return l.byOrigin[at]
	}
	return nil
}

// formatCycle lists the refs of a cycle, each followed by its base.
func formatCycle(ring []*loaded) string {
	var text strings.Builder
	text.WriteString("a cycle: ")
	for _, p := range ring {
		text.WriteString(p.ref.String() + " -> ")
		if text.Len() > mostPath {
			return text.String() + "..."
		}
	}
	return text.String() + ring[0].ref.String()
}
