package conf

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"

	"k8s-sidecar-injector/conf/params"
)

// The cost of a document is a rough estimate of the bytes of memory that its load needs. It is computed before
// aliases are expanded and patterns are compiled.
const (
	valueCost = 32 // of a value or key, in addition to its length
	indexCost = 4  // of a list index, for each value at or below it
)

const (
	maxCost     = 8 << 20 // of the documents of one file or ConfigMap
	maxTried    = 1 << 20 // bytes of them that are validated again with other values of parameters
	maxDocument = 1 << 20 // bytes of a document; an API server does not accept a larger ConfigMap
	maxNesting  = 1000    // levels of a document, with its aliases expanded
)

var (
	errLargeDocument = fmt.Errorf("is larger than %d bytes", maxDocument)
	errDeep          = fmt.Errorf("is nested more than %d deep", maxNesting)
	errSelfAlias     = errors.New("an anchor contains itself")
	errAliases       = fmt.Errorf("its aliases would add more than %d MiB; use fewer aliases", maxCost>>20)
	errTried         = errors.New("has too many values of parameters to try")
	errCostly        = fmt.Errorf("the documents of one file or ConfigMap may cost %d MiB in all, and this is more; "+
		"use fewer aliases, values or patterns, or several files or ConfigMaps", maxCost>>20)
)

// usage is how much a document, or all documents of a file or ConfigMap, have used of maxCost, maxTried and
// maxInherited.
type usage struct {
	cost, tried, inherited int
}

// charge adds to the usage of a document, and to that of its file or ConfigMap.
func (h *holder) charge(p *parsed, more usage) error {
	used := &h.used
	switch {
	case used.cost+more.cost > maxCost:
		p.again = more.cost <= maxCost // the error depends on other documents
		return errCostly
	case used.tried+more.tried > maxTried:
		p.again = p.used.tried+more.tried <= maxTried // so does the result of fewer tries
		return errTried
	}
	for _, u := range []*usage{used, &p.used} {
		u.cost += more.cost
		u.tried += more.tried
	}
	return nil
}

// afford charges a document for its values, before its aliases are expanded.
func (h *holder) afford(p *parsed, lines outline) error {
	e, err := lines.measure()
	if err != nil {
		return err
	}
	return h.charge(p, usage{cost: e.cost})
}

// affordParameters charges a document for its patterns before they are compiled. Heirs compile them again, so
// they count as inherited, too.
func (h *holder) affordParameters(p *parsed, declared []params.Parameter) error {
	cost := 0
	for i := range declared {
		cost += declared[i].Cost()
	}
	p.size += cost
	return h.charge(p, usage{cost: cost})
}

// affordTry charges a document for one more validation of that many bytes. It returns false if the document
// cannot afford it.
func (h *holder) affordTry(p *parsed, size int) bool {
	return h.late() == nil && h.charge(p, usage{tried: size}) == nil
}

// fewAliases rejects a manifest whose aliases are too large. The manifest itself may have any size.
func fewAliases(lines outline) error {
	e, err := lines.measure()
	if err == nil && e.aliased > maxCost {
		return errAliases
	}
	return err
}

// extent is the size of a part of a document, with its aliases expanded.
type extent struct {
	cost, values, depth int
	aliased             int // the part of cost that comes from aliases
}

// add adds a child. Its key, of that many bytes, counts for each value of the child, because it is in the field
// path of the value.
func (e *extent) add(child extent, key int) {
	const ceiling = 1 << 40 // larger than any limit; avoids overflows
	keys := min(key, maxDocument) * child.values
	e.values = min(e.values+child.values, ceiling)
	e.cost = min(e.cost+child.cost+keys, ceiling)
	e.depth = max(e.depth, child.depth+1)
	if child.aliased > 0 {
		e.aliased = min(e.aliased+child.aliased+keys, ceiling)
	}
}

// measure returns the extent of a document. It fails if an anchor contains itself or if the document is nested
// too deep. A document that could not be parsed has no aliases, and at most one value in two bytes.
func (o outline) measure() (extent, error) {
	if o.root == nil {
		return extent{cost: o.size / 2 * valueCost, values: o.size / 2}, nil
	}
	e, err := make(measurer).measure(o.root)
	if err == nil && e.depth > maxNesting {
		err = errDeep
	}
	return e, err
}

// measurer computes extents in time proportional to the document: each anchor is visited once. The extent of an
// anchor is zero while it is being measured.
type measurer map[*yaml.Node]extent

func (m measurer) measure(node *yaml.Node) (extent, error) {
	if node.Kind == yaml.AliasNode {
		e, err := m.measure(node.Alias)
		e.aliased = e.cost
		return e, err
	}
	if node.Anchor == "" {
		return m.measureContent(node)
	}
	if e, found := m[node]; found {
		if e.values == 0 {
			return e, errSelfAlias
		}
		return e, nil
	}
	m[node] = extent{}
	e, err := m.measureContent(node)
	m[node] = e
	return e, err
}

func (m measurer) measureContent(node *yaml.Node) (extent, error) {
	e := extent{cost: valueCost + len(node.Value), values: 1}
	for i, child := range node.Content {
		part, err := m.measure(child)
		if err != nil {
			return e, err
		}
		key := indexCost
		if node.Kind == yaml.MappingNode {
			key = i % 2 * len(resolved(node.Content[i&^1]).Value) // 0 for the key itself
		}
		e.add(part, key)
	}
	return e, nil
}
