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
	origin   Origin
	line     int // at which the document begins
	baseOnly bool
	// ref is the ref that the document defines, even if the document has faults. It is zero if the name cannot
	// be read.
	ref Ref
	// names are the refs that the document may define if ref is zero.
	names []Ref
	// inherits is the field without surrounding white space.
	inherits string
	text     []byte // the definition as canonical JSON; nil if there are faults
	size     int    // of text, and the cost of the parameters
	faults   []*Error
	// security is that of the document without its base. It is zero if there are faults.
	security podSecurity
	// own is the result if the document inherits nothing and has no faults.
	own *compiled
	// nameLine and inheritsLine are the positions of faults that Load finds.
	nameLine, inheritsLine int
	used                   usage
	rules                  *Rules
	// again is true if the result depends on more than the document, so that the next load cannot reuse it.
	again bool
}

func newParsed(document Document) *parsed {
	return &parsed{origin: document.Origin, line: document.Line, baseOnly: document.BaseOnly}
}

// parse decodes and validates one document on its own.
func (h *holder) parse(document Document) *parsed {
	p := newParsed(document)
	p.rules = h.rules
	switch {
	case document.Err != nil:
		p.reject(0, document.Err)
	case len(document.Content) > maxDocument:
		p.reject(0, errLargeDocument)
	default:
		p.decode(document, h)
	}
	if p.ref == (Ref{}) {
		p.names = document.names
		if ref := scanName(document.Content); ref != (Ref{}) {
			p.names = []Ref{ref}
		}
	}
	return p
}

func (p *parsed) decode(document Document, h *holder) {
	text, lines, ok := p.read(document, func(lines outline) error { return h.afford(p, lines) }, true)
	if !ok || h.late() != nil {
		return
	}
	value, err := definitionOf(lines, text)
	if err != nil {
		p.reject(p.line, errors.New("cannot be decoded"))
		return
	}
	p.nameLine, p.inheritsLine = lines.line("name"), lines.line("inherits")
	p.inspect(value, lines, h)
	slices.SortStableFunc(p.faults, func(a, b *Error) int { // those without a line come last
		return cmp.Compare(cmp.Or(a.Line, math.MaxInt), cmp.Or(b.Line, math.MaxInt))
	})
}

// inspect validates the decoded value, and sets the fields that Load needs.
func (p *parsed) inspect(value any, lines outline, h *holder) {
	object, ok := value.(tree)
	if !ok {
		p.reject(p.line, errors.New("a sidecar definition must be an object, not "+kindOf(value)))
		return
	}
	if object["kind"] != nil && object["apiVersion"] != nil {
		p.reject(lines.line("kind"),
			errors.New("a Kubernetes object is not a sidecar definition, which begins with its name"))
		return
	}
	decoded := decodeDefinition(object)
	p.readNames(object, decoded)
	text, err := canonical(p.ref, object)
	if err == nil {
		p.size = len(text)
		err = h.affordParameters(p, decoded.scope.Declared())
	}
	if err != nil {
		p.reject(p.line, err)
	}
	faults := append(lines.duplicates(false), decoded.faults...)
	var sample filling
	if err == nil {
		decoded.keepText(text)
		var found field.ErrorList
		sample, found = decoded.validate(faults, func() bool { return h.affordTry(p, p.size) })
		faults = append(faults, found...)
		faults = append(faults, h.ownKeys(sample.typed)...)
		if p.inherits == "" {
			faults = append(faults, validateCopyTargets(sample.typed)...)
		}
	}
	p.rejectAll(faults, lines)
	if len(p.faults) == 0 && h.late() == nil {
		p.accept(text, decoded, sample, lines, h)
	}
}

// accept sets the results of a valid document.
func (p *parsed) accept(text []byte, source *decoded, sample filling, lines outline, h *holder) {
	security := h.evaluate(sample.typed)
	p.text, p.security = text, security.kept()
	if p.inherits != "" {
		return
	}
	own := &compiled{text: text, size: p.size, security: p.security}
	err := own.serve(p, source, sample.typed, security, p.warn(source, sample.typed, lines))
	if err != nil {
		p.reject(0, err)
		return
	}
	p.own = own
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
	if d.tree["inherits"] != nil { // without a fault
		p.inherits = strings.TrimSpace(textOf(written, "inherits"))
	}
	at := field.NewPath("name")
	name, named := written["name"].(string) // in the tree, it is not a string if it has $${...}
	if !named || d.tree["name"] == nil {
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
	text, err := compactJSON(kept)
	if err != nil {
		return nil, err
	}
	return typedJSON(text)
}

func typedJSON(text []byte) (*definition, error) {
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
	return &Error{Origin: p.origin, Line: line, Err: err}
}
