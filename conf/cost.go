package conf

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"

	"k8s-sidecar-injector/conf/params"
)

// The documents of one file or ConfigMap may cost maxCost in all. The cost is known before the work
// is done that it stands for: aliases are expanded, and patterns are compiled, only for a document
// that can be afforded. It is counted in bytes of memory, roughly.
const (
	maxCost         = 8 << 20
	valueCost       = 32 // of a value or key, besides its text
	indexCost       = 4  // of a place in a list, for each value at or below it
	instructionCost = 64 // of a pattern
	stepCost        = 1  // of matching a default or an enum value
)

// maxTried is how many bytes of definitions may be validated again with other values of parameters,
// for the documents of one file or ConfigMap.
const maxTried = 1 << 20

// maxDocument is the size of a document in bytes. An API server takes no larger ConfigMap.
const maxDocument = 1 << 20

// maxNesting is how deep a document may be nested, with its aliases expanded.
const maxNesting = 1000

var (
	errLargeDocument = fmt.Errorf("is larger than %d bytes", maxDocument)
	errDeep          = fmt.Errorf("is nested more than %d deep", maxNesting)
	errSelfAlias     = errors.New("an anchor contains itself")
	errAliases       = fmt.Errorf("its aliases would add more than %d MiB: repeat less", maxCost>>20)
	errCostly        = fmt.Errorf("the documents of one file or ConfigMap may cost %d MiB in all, and this is more: "+
		"use fewer aliases, values or patterns, or several files or ConfigMaps", maxCost>>20)
)

// afford charges for a document that is parsed, and whose aliases are not expanded yet.
func (l *loading) afford(p *parsed, lines outline) error {
	e, err := lines.measure(true)
	if err != nil {
		return err
	}
	if e.depth > maxNesting {
		return errDeep
	}
	return l.charge(p, e.cost)
}

// charge adds to the cost of the file or ConfigMap that holds the document.
func (l *loading) charge(p *parsed, cost int) error {
	holder := p.document.Origin.holder()
	if l.spent[holder]+cost > maxCost {
		p.again = cost <= maxCost // it depends on the other documents
		return errCostly
	}
	l.spent[holder] += cost
	p.cost += cost
	return nil
}

// affordTry charges for another validation of that many bytes.
func (l *loading) affordTry(p *parsed, size int) bool {
	holder := p.document.Origin.holder()
	if l.tried[holder]+size > maxTried || l.late() != nil {
		return false
	}
	l.tried[holder] += size
	p.tried += size
	return true
}

// affordParameters charges for patterns before they are compiled. Heirs compile them again, so they
// count as inherited too.
func (l *loading) affordParameters(p *parsed, declared map[string]params.Declaration) error {
	cost := parametersCost(declared)
	p.size += cost
	return l.charge(p, cost)
}

// fewAliases limits what the aliases of a manifest add. A manifest itself may be of any size.
func fewAliases(lines outline) error {
	own, _ := lines.measure(false)
	e, err := lines.measure(true)
	switch {
	case err != nil:
		return err
	case e.depth > maxNesting:
		return errDeep
	case e.cost > own.cost+maxCost:
		return errAliases
	}
	return nil
}

// extent is how large a part of a document is. A key counts for each value below it, because it is
// in the path of that value.
type extent struct {
	cost, values, depth int
}

// add puts a part into a larger one, below a step of that many bytes.
func (e *extent) add(part extent, step int) {
	const ceiling = 1 << 40 // far beyond any limit; the product below stays in the range of an int
	e.values = min(e.values+part.values, ceiling)
	e.cost = min(e.cost+part.cost+min(step, maxDocument)*part.values, ceiling)
	e.depth = max(e.depth, part.depth+1)
}

// measuring computes extents without expanding an alias, in time proportional to the document.
type measuring struct {
	expand bool // whether an alias counts as what it stands for
	known  map[*yaml.Node]extent
}

// measure returns the extent of a document. It fails where an anchor contains itself. A document that
// could not be parsed has no aliases, and may have a value in every other byte.
func (o outline) measure(expand bool) (extent, error) {
	if o.root == nil {
		return extent{cost: o.size / 2 * valueCost, values: o.size / 2}, nil
	}
	m := measuring{expand: expand, known: make(map[*yaml.Node]extent)}
	return m.of(o.root)
}

func (m *measuring) of(node *yaml.Node) (extent, error) {
	if node.Kind == yaml.AliasNode && m.expand {
		node = node.Alias
	}
	if e, begun := m.known[node]; begun {
		if e.values == 0 {
			return e, errSelfAlias
		}
		return e, nil
	}
	if node.Anchor != "" {
		m.known[node] = extent{}
	}
	e := extent{cost: valueCost + len(node.Value), values: 1}
	for i, child := range node.Content {
		part, err := m.of(child)
		if err != nil {
			return e, err
		}
		step := indexCost
		if node.Kind == yaml.MappingNode {
			step = i % 2 * len(resolved(node.Content[i&^1]).Value) // none for the key itself
		}
		e.add(part, step)
	}
	if node.Anchor != "" {
		m.known[node] = e
	}
	return e, nil
}

// parametersCost returns the cost of patterns, and of matching the defaults and enum values. Validation
// reports invalid parameters.
func parametersCost(parameters map[string]params.Declaration) int {
	if len(parameters) > maxParameters {
		return 0
	}
	cost := 0
	for _, p := range parameters {
		instructions, matched := p.Work()
		cost += instructions * (instructionCost + matched*stepCost)
	}
	return cost
}
