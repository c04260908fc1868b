package mutate

import (
	"cmp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"k8s-sidecar-injector/conf"
)

// extendEnv is the field with texts that are appended to the values of variables.
const extendEnv = "extendEnv"

// extension is an element of extendEnv.
type extension struct {
	*conf.Element `json:"-"`

	Value     string `json:"value"`
	Separator string `json:"separator"`
}

// variable is a variable of a container with the texts that sidecars append to its value.
type variable struct {
	name, value string
	original    string // the value in the container as received
	fixed       bool   // the value is not known, because it comes from valueFrom
	added       bool   // the variable is not one of the container as received
	index       int    // in the env of the received container, or else in the added variables
	extended    bool
}

// variables are those of a container that sidecars extend. Nil is empty.
type variables struct {
	list     []*variable
	index    *index
	received *index // of the env of the received container, backwards
}

// extendVariables appends to the values of variables. A sidecar also extends what it adds itself, and what
// previous sidecars add and append.
func (p *plan) extendVariables() {
	for _, s := range p.sidecars {
		elements := s.Elements(extendEnv)
		if len(elements) == 0 || p.size > maxAdded && !p.explain {
			continue
		}
		extensions, covered := decodeExtensions(elements), p.coverage(s)
		for _, c := range p.containers {
			applies := c.appliesTo(s, &covered)
			if !applies && !p.explain {
				continue
			}
			for i := range extensions {
				p.extendVariable(s, c, &extensions[i], applies)
			}
		}
	}
	for _, c := range p.containers {
		c.replaceExtended()
	}
}

func decodeExtensions(elements []conf.Element) []extension {
	extensions := make([]extension, len(elements))
	for i := range elements {
		e := &extensions[i]
		_ = json.Unmarshal(elements[i].JSON, e) // validated when it was loaded
		e.Element, e.Separator = &elements[i], cmp.Or(e.Separator, " ")
	}
	return extensions
}

// extendVariable appends to the value of a variable, or adds the variable, unless there is a reason not to.
func (p *plan) extendVariable(s *conf.Sidecar, c *container, e *extension, applies bool) {
	v := (*variable)(nil)
	why := omission{text: notCovered}
	if applies {
		v = p.variable(c, e.Name)
		why = p.checkExtension(s, c, e, v)
	}
	if !p.record(s, c, extendEnv, e.Name, why) || !p.fits(e.Element) {
		return
	}
	if v == nil {
		p.noteOverride(c)
		env := &c.lists[envList]
		v = &variable{name: e.Name, added: true, index: len(env.added)}
		env.added = append(env.added, addition{Element: &conf.Element{Name: e.Name, JSON: []byte("{}")}, by: s})
		c.variables.list = append(c.variables.list, v)
	}
	if !v.added && !v.extended {
		p.size += len(v.value)
	}
	if v.value != "" {
		v.value += e.Separator
	}
	v.value += e.Value
	v.extended = true
}

// checkExtension returns why a text is not appended to a variable, which is nil if the container does not have
// it.
func (p *plan) checkExtension(s *conf.Sidecar, c *container, e *extension, v *variable) omission {
	switch {
	case e.Value == "":
		return omission{text: nothingToAppend}
	case v == nil:
		return omission{}
	case v.fixed:
		p.mismatch(s, extendEnv, e.Element, c)
		return omission{text: hasValueFrom}
	case p.completes && strings.Contains(v.original, e.Value):
		return omission{text: valueHasIt} // another sidecar may have appended with another separator
	case strings.Contains(e.Separator+v.value+e.Separator, e.Separator+e.Value+e.Separator):
		return omission{text: valueHasIt}
	}
	return omission{}
}

// variable returns the variable of a container with the name, or nil. If there are several, it is the last one,
// which Kubernetes uses.
func (p *plan) variable(c *container, name string) *variable {
	if c.variables == nil {
		c.variables = new(variables)
	}
	known, env := c.variables, &c.lists[envList]
	if i := find(&known.index, name, len(known.list), func(i int) string { return known.list[i].name }); i >= 0 {
		return known.list[i]
	}
	i := env.position(name)
	if i < 0 {
		return nil
	}
	v := &variable{name: name, added: true, index: i - len(env.received)}
	if v.index < 0 {
		v = p.receivedVariable(c, name)
	} else {
		var added Variable
		_ = json.Unmarshal(env.added[v.index].JSON, &added) // validated when it was loaded or received
		v.value, v.fixed = added.Value, added.ValueFrom != nil
	}
	known.list = append(known.list, v)
	return v
}

// receivedVariable returns a variable that the received container has.
func (p *plan) receivedVariable(c *container, name string) *variable {
	env := p.details.env(c)
	backwards := func(i int) *Variable { return &env[len(env)-1-i] }
	i := find(&c.variables.received, name, len(env), func(i int) string { return backwards(i).Name })
	if i < 0 {
		return &variable{name: name, fixed: true} // there are no details
	}
	last := backwards(i)
	return &variable{name: name, value: last.Value, original: last.Value, fixed: last.ValueFrom != nil, index: last.index}
}

// replaceExtended replaces the added variables that are extended.
func (c *container) replaceExtended() {
	if c.variables == nil {
		return
	}
	for _, v := range c.variables.list {
		if v.added && v.extended {
			added := &c.lists[envList].added[v.index]
			added.Element = v.element(added.JSON)
		}
	}
}

// element returns the variable as an element of env, with the unknown fields of one that was copied.
func (v *variable) element(added []byte) *conf.Element {
	members := make(map[string]jsontext.Value)
	_ = json.Unmarshal(added, &members) // validated when it was loaded or received
	members["name"], _ = jsontext.AppendQuote(nil, v.name)
	members["value"], _ = jsontext.AppendQuote(nil, v.value)
	text, _ := json.Marshal(members, json.Deterministic(true))
	return &conf.Element{Name: v.name, JSON: text}
}
