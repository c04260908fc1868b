package conf

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// parsed is the result of parsing one document. It is not changed afterwards, so that the next load can reuse
// it while the document is unchanged.
type parsed struct {
	document Document
	// ref is the ref that the document defines, even if the document has faults. It is zero if the name cannot
	// be read.
	ref Ref
	// names are the refs that the document may define if ref is zero.
	names []Ref
	// inherits is the field without surrounding white space.
	inherits string
	tree     tree // nil if there are faults
	size     int  // of tree, in bytes of JSON
	faults   []*Error
	// security is that of the document without its base. It is zero if there are faults.
	security podSecurity
	// warnings are about the document without its base. They are nil if it inherits, or if there are faults.
	warnings []*Error
	// nameLine and inheritsLine are the positions of faults that Load finds.
	nameLine, inheritsLine int
	used                   usage
	// again is true if the result depends on more than the document, so that the next load cannot reuse it.
	again bool
}

// parse decodes and validates one document on its own.
func parse(document Document, l *loader) *parsed {
	p := &parsed{document: document}
	switch {
	case document.Err != nil:
		p.reject(0, document.Err)
	case len(document.Content) > maxDocument:
		p.reject(0, errLargeDocument)
	default:
		p.decode(l)
	}
	if p.ref == (Ref{}) {
		p.names = document.names
		if ref := scanName(document.Content); ref != (Ref{}) {
			p.names = []Ref{ref}
		}
	}
	return p
}

func (p *parsed) decode(l *loader) {
	text, lines, ok := p.read(func(lines outline) error { return l.afford(p, lines) }, true)
	if !ok || l.late() != nil {
		return
	}
	value, err := definitionOf(lines, text)
	if err != nil {
		p.reject(p.document.Line, errors.New("cannot be decoded"))
		return
	}
	if text == nil {
		text, _ = compactJSON(value)
	}
	p.size = len(text)
	p.nameLine, p.inheritsLine = lines.line("name"), lines.line("inherits")
	p.inspect(value, lines, l)
	slices.SortStableFunc(p.faults, func(a, b *Error) int { // those without a line come last
		return cmp.Compare(cmp.Or(a.Line, math.MaxInt), cmp.Or(b.Line, math.MaxInt))
	})
}

// inspect validates the decoded value, and sets the fields that Load needs.
func (p *parsed) inspect(value any, lines outline, l *loader) {
	object, ok := value.(tree)
	if !ok {
		p.reject(p.document.Line, errors.New("a sidecar definition must be an object, not "+kindOf(value)))
		return
	}
	if object["kind"] != nil && object["apiVersion"] != nil {
		p.reject(lines.line("kind"),
			errors.New("a Kubernetes object is not a sidecar definition, which begins with its name"))
		return
	}
	decoded := decodeDefinition(object)
	p.readNames(object, decoded)
	faults := append(lines.duplicates(false), decoded.faults...)
	var d *definition
	if err := l.affordParameters(p, decoded.scope.Declared()); err != nil {
		p.reject(p.document.Line, err)
	} else {
		var found field.ErrorList
		d, found = decoded.validate(faults, func() bool { return l.affordTry(p, p.size) })
		faults = append(faults, found...)
		faults = append(faults, l.ownKeys(d)...)
		if p.inherits == "" {
			faults = append(faults, validateCopyTargets(d)...)
		}
	}
	p.rejectAll(faults, lines)
	if len(p.faults) == 0 && l.late() == nil {
		p.tree = object
		p.security = l.evaluate(d)
		if p.inherits == "" {
			p.warnings = p.warn(decoded, d, lines)
		}
	}
}

func (p *parsed) rejectAll(faults field.ErrorList, lines outline) {
	for _, fault := range firstFaults(faults) {
		p.reject(lines.line(fault.Field), withoutValue(fault))
	}
	if more := len(faults) - mostFaults; more > 0 {
		p.reject(0, fmt.Errorf("and %d more faults", more))
	}
}

// readNames reads the name and inherits. A name of the wrong type is a fault already.
func (p *parsed) readNames(written tree, d *decoded) {
	p.inherits = strings.TrimSpace(textOf(d.tree, "inherits"))
	at := field.NewPath("name")
	name, named := d.tree["name"].(string)
	if !named {
		if written["name"] == nil {
			d.faults = append(d.faults, field.Required(at, "a sidecar needs a name, such as logger:v1"))
		}
		return
	}
	ref, err := ParseRef(name)
	if err != nil {
		d.faults = append(d.faults, field.Invalid(at, name, err.Error()))
		return
	}
	if ref.Name == OptOut {
		d.faults = append(d.faults, field.Invalid(at, name, "that is what a pod says that wants no sidecar"))
	}
	p.ref = ref
}

// typed decodes a definition that was checked by the strict decoder.
func typed(kept tree) (*definition, error) {
	text, err := json.Marshal(kept)
	if err != nil {
		return nil, err
	}
	d := new(definition)
	if json.Unmarshal(text, d) != nil {
		return d, errors.New("cannot be decoded") // the decoder quotes values
	}
	return d, nil
}

func (p *parsed) reject(line int, err error) {
	p.faults = append(p.faults, p.fault(line, err))
}

func (p *parsed) fault(line int, err error) *Error {
	return &Error{Origin: p.document.Origin, Line: line, Err: err}
}
