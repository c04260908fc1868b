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

// flatten merges the document with its bases. Each document of the chain is flattened once.
func (l *loader) flatten(p *loaded) {
	var chain []*loaded
	for ; p != nil && !p.resolved; p = p.base {
		l.resolve(p)
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
		err := heir.holder.bounded(func() (err error) {
			heir.compiled, err = l.compile(heir)
			return err
		})
		if err != nil {
			heir.compiled, l.retry = nil, true
			heir.fail(0, err)
		}
		if heir.compiled != nil {
			l.checkLevel(heir)
		}
	}
}

// compile merges a document with its base, which is compiled already. It returns nil if there are faults.
func (l *loader) compile(p *loaded) (*compiled, error) {
	switch {
	case p.inherits == "":
		return p.own, nil
	case p.base == nil:
		return nil, nil //nolint:nilnil // documented
	case len(p.base.all) > 0:
		p.failInherits(fmt.Sprintf("its base %q (%s) is rejected", p.inherits, p.base.document.Origin))
		return nil, nil //nolint:nilnil // documented
	case len(p.faults) > 0:
		return nil, nil //nolint:nilnil // documented
	}
	base := p.base.compiled
	if err := p.holder.chargeInherited(base); err != nil {
		p.failInherits(err.Error())
		return nil, nil //nolint:nilnil // documented
	}
	if e := p.earlier; e != nil && e.parsed == p.parsed && e.compiled != nil && e.compiled.base == base &&
		!e.compiled.again && p.holder.charge(new(parsed), usage{tried: e.compiled.tried}) == nil {
		return e.compiled, nil
	}
	return l.compileOver(p, base)
}

// compileOver merges and encodes a document. It returns nil if there are faults.
func (l *loader) compileOver(p *loaded, base *compiled) (*compiled, error) {
	flat, err := l.merge(base, p.parsed)
	if err != nil {
		return nil, err
	}
	c := &compiled{base: base, size: base.size + p.size, depth: base.depth + 1}
	c.bases = &Base{Ref: p.base.ref, Origin: p.base.document.Origin, next: base.bases}
	if c.text, err = canonical(p.ref, flat); err != nil {
		return nil, err
	}
	decoded := decodeFlat(flat)
	decoded.keepText(c.text)
	sample, faults := c.validate(p, decoded)
	if faults != nil {
		p.fail(p.inheritsLine, fmt.Errorf("with what it inherits from %q: %w", p.inherits, faults))
		return nil, nil //nolint:nilnil // documented
	}
	security := p.holder.evaluate(sample.typed)
	c.security = security.kept()
	return c, c.serve(p.parsed, decoded, sample.typed, security, p.warn(decoded, sample.typed, outline{}))
}

// merge returns the document merged with its base.
func (l *loader) merge(base *compiled, p *parsed) (tree, error) {
	if l.trees[base] == nil {
		decoded, err := decodeText(base.text)
		if err != nil {
			return nil, err
		}
		l.trees[base] = decoded
	}
	own, err := decodeText(p.text)
	return merge(l.trees[base], own), err
}

// chargeInherited checks the limits of inheritance before the merge.
func (h *holder) chargeInherited(base *compiled) error {
	if base.depth == maxDepth {
		return fmt.Errorf("the chain has more than %d bases; inherit from a base with fewer bases", maxDepth)
	}
	if h.used.inherited+base.size > maxInherited {
		return fmt.Errorf("the documents of one file or ConfigMap may inherit %d MiB in all, and this is more; "+
			"make the base smaller, or use several files or ConfigMaps", maxInherited>>20)
	}
	h.used.inherited += base.size
	return nil
}

// failInherits adds the fault that inherits cannot be resolved.
func (p *loaded) failInherits(detail string) {
	p.fail(p.inheritsLine, field.Invalid(field.NewPath("inherits"), field.OmitValueType{}, detail))
}

// validate returns the merged definition. The error has the faults that neither the base nor the child has alone, such
// as a container name in two lists.
func (c *compiled) validate(p *loaded, decoded *decoded) (filling, error) {
	heir := new(parsed)
	sample, found := decoded.validate(decoded.faults, func() bool { return p.holder.affordTry(heir, c.size) })
	c.tried, c.again = heir.used.tried, heir.again
	faults := slices.Concat(decoded.faults, found, validateCopyTargets(sample.typed))
	for i := range faults {
		faults[i] = withoutValue(faults[i])
	}
	return sample, faults.ToAggregate()
}

// resolve sets the base of a document.
func (l *loader) resolve(p *loaded) {
	p.resolved = true
	if p.inherits == "" {
		return
	}
	err := p.holder.bounded(func() (err error) {
		if p.base, err = l.base(p); err != nil {
			p.failInherits(err.Error())
		}
		return nil
	})
	if err != nil {
		l.retry = true
		p.fail(0, err)
	}
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
	if l.find(second) != nil {
		return nil, errors.New("the file has several documents; inherit from one of them by its ref")
	}
	return base, nil
}

// file returns the first document of a file, or nil if there is no such file. Base-only documents are parsed
// here, so that unused ones cost nothing. A directory that cannot be read stands for each file below it.
func (l *loader) file(origin Origin) *loaded {
	if p := l.find(origin); p != nil {
		return p
	}
	for at := origin; at.Name != "."; at.Name = path.Dir(at.Name) {
		documents, found := l.bases[at]
		if !found {
			continue
		}
		if l.inUse[at] == nil {
			h := l.newHolder()
			for _, document := range documents {
				p := &loaded{document: document, earlier: l.previous.resultOf(document)}
				p.add(h)
				l.order, l.inUse[document.Origin] = append(l.order, p), p
				l.unnamed = l.unnamed || p.ref == Ref{}
			}
		}
		return l.inUse[at]
	}
	return nil
}

// find returns a document that is served, or a base-only document in use. It returns nil if there is none.
func (l *loader) find(origin Origin) *loaded {
	served := l.order[:l.served]
	byOrigin := func(p *loaded, o Origin) int { return p.document.Origin.Compare(o) }
	i, found := slices.BinarySearchFunc(served, origin, byOrigin)
	if found {
		return served[i]
	}
	return l.inUse[origin]
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
