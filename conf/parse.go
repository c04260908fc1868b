package conf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// parsed is one document after parsing. It is never changed afterwards, so the next Load
// can take it over while the document's bytes stay the same.
type parsed struct {
	document Document
	// ref is what the document defines; it is the zero Ref when the name cannot be read. It
	// is set even where something else is wrong.
	ref Ref
	// names are the refs that the document may define where it could not be decoded.
	names []Ref
	// inherits is the field as written, without white space around it.
	inherits string
	tree     tree
	size     int // of tree, in bytes of JSON
	faults   []error
	// power is that of the document without its base. It is zero if there are faults.
	power power
	// nameLine and inheritsLine are for the faults that only Load can find.
	nameLine, inheritsLine int
	// cost is what the document was charged.
	cost int
	// tried is what it was charged for trying values.
	tried int
	// again is set where the result depends on more than the document: the next Load parses it again.
	again bool
}

// parse decodes, validates and weighs one document on its own.
func parse(document Document, l *loading) *parsed {
	p := &parsed{document: document}
	defer p.scan()
	if document.Err != nil {
		p.reject(0, document.Err)
		return p
	}
	if len(document.Content) > maxDocument {
		p.reject(0, errLargeDocument)
		return p
	}
	text, lines, ok := p.read(func(lines outline) error { return l.afford(p, lines) })
	if !ok {
		return p
	}
	if l.late() != nil {
		return p
	}
	value, err := decodeJSON(text)
	if err != nil {
		p.reject(document.Line, errors.New("cannot be decoded"))
		return p
	}
	p.size = len(text)
	p.nameLine, p.inheritsLine = lines.line("name"), lines.line("inherits")
	p.inspect(value, lines, l)
	slices.SortStableFunc(p.faults, func(a, b error) int { return cmp.Compare(lineOf(a), lineOf(b)) })
	return p
}

// scan looks for the name of a document that was rejected before it was decoded, so that the document keeps
// its ref.
func (p *parsed) scan() {
	p.names = p.document.names
	if p.tree != nil {
		return
	}
	if ref := scanName(p.document.Content); ref != (Ref{}) {
		p.names = []Ref{ref}
	}
}

// JSON gives any YAML document as JSON, as Kubernetes reads it, for manifests that are no
// sidecar definitions. The error has all faults, each an *Error with its line: a syntax error,
// or keys that are there twice. It is Err where that is set.
func (d Document) JSON() ([]byte, error) {
	if d.Err != nil {
		return nil, d.Err
	}
	p := &parsed{document: d}
	text, lines, ok := p.read(fewAliases)
	if ok {
		p.rejectAll(lines.duplicates(), lines)
	}
	return text, joined(p.faults).ErrorOrNil()
}

// read turns the document's YAML into JSON. It is not ok after a syntax error, or where affordable
// rejects the extent of the document.
func (p *parsed) read(affordable func(outline) error) (text []byte, lines outline, ok bool) {
	document := p.document
	document.Content = plainJSON(document.Content)
	convert := yaml.YAMLToJSON
	lines, err := newOutline(document)
	if err != nil && !errors.Is(err, errRest) && bytes.IndexByte(document.Content, '&') < 0 {
		// The other parser, which Kubernetes uses, may take it, or know the line better.
		err, convert = nil, yaml.YAMLToJSONStrict
	}
	if err == nil {
		if why := affordable(lines); why != nil {
			p.reject(0, why)
			return nil, outline{}, false
		}
		text, err = convert(document.Content)
	}
	if err != nil {
		line, why := syntaxError(err)
		p.reject(line+document.Line-1, why)
		return nil, outline{}, false
	}
	return text, lines, true
}

// plainJSON spells JSON without the escapes that YAML 1.2 has and the parser has not, `\/` and
// surrogate pairs. It returns other content as it is.
func plainJSON(content []byte) []byte {
	if !bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")) || !json.Valid(content) {
		return content
	}
	// A backslash that is itself escaped matches first, so that what follows it is left alone.
	escape := regexp.MustCompile(`\\\\|\\/|\\u[dD][89abAB]..\\u[dD][c-fC-F]..`)
	return escape.ReplaceAllFunc(content, func(found []byte) []byte {
		var text string
		if string(found) == `\\` || json.Unmarshal([]byte(`"`+string(found)+`"`), &text) != nil {
			return found
		}
		return []byte(text)
	})
}

func decodeJSON(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	return value, decoder.Decode(&value)
}

// inspect checks the decoded value and takes from it what Load needs to know.
func (p *parsed) inspect(value any, lines outline, l *loading) {
	object, ok := value.(tree)
	if !ok {
		p.reject(p.document.Line, errors.New("a sidecar definition must be an object, not "+kindOf(value)))
		return
	}
	if object["kind"] != nil && object["apiVersion"] != nil {
		p.reject(lines.line("kind"), errors.New("a Kubernetes object is not a sidecar definition, which begins with its name"))
		return
	}
	decoded := decodeDefinition(object)
	p.readNames(object, decoded)
	faults := lines.duplicates()
	faults.add(decoded.faults.first...)
	faults.more += decoded.faults.more
	var d *definition
	err := l.affordParameters(p, decoded.declared)
	if err == nil {
		var found field.ErrorList
		d, found, err = decoded.validate(faults.first, func() bool { return l.affordTry(p, p.size) })
		faults.add(found...)
	}
	if err != nil {
		p.reject(p.document.Line, err)
	} else {
		faults.add(l.ownKeys(d)...)
	}
	p.rejectAll(faults, lines)
	if len(p.faults) == 0 && l.late() == nil {
		p.tree = object
		p.power = l.powerOf(d)
	}
}

func (p *parsed) rejectAll(faults findings, lines outline) {
	for _, fault := range faults.first {
		p.reject(lines.line(fault.Field), withoutValue(fault))
	}
	if faults.more > 0 {
		p.reject(0, fmt.Errorf("and %d faults more", faults.more))
	}
}

// readNames reads the two fields by which documents refer to each other. A name of the
// wrong type is a fault already.
func (p *parsed) readNames(written tree, d *decoded) {
	kept := d.tree
	inherits, _ := kept["inherits"].(string)
	p.inherits = strings.TrimSpace(inherits)
	name, named := kept["name"].(string)
	if !named {
		if written["name"] == nil {
			d.faults.add(field.Required(field.NewPath("name"), "a sidecar needs a name, such as logger:v1"))
		}
		return
	}
	ref, err := ParseRef(name)
	if err != nil {
		d.faults.add(field.Invalid(field.NewPath("name"), name, err.Error()))
		return
	}
	if ref.Name == OptOut {
		d.faults.add(field.Invalid(field.NewPath("name"), name, "that is what a pod says that wants no sidecar"))
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

// lineOf is where a fault is listed: one without a line comes last.
func lineOf(err error) int {
	if e, ok := errors.AsType[*Error](err); ok && e.Line > 0 {
		return e.Line
	}
	return math.MaxInt
}

func (p *parsed) reject(line int, err error) {
	p.faults = append(p.faults, &Error{Origin: p.document.Origin, Line: line, Err: err})
}

// unlessBelow drops the faults that follow from a known one: those at or below its field, and
// those of an object that lacks a member because the member is invalid.
func unlessBelow(known, more field.ErrorList) field.ErrorList {
	var kept field.ErrorList
	for _, fault := range more {
		mayMiss := fault.Type == field.ErrorTypeRequired || fault.Type == field.ErrorTypeInvalid
		missing := mayMiss && above(known, fault.Field)
		if !missing && !below(known, fault.Field) {
			kept = append(kept, fault)
		}
	}
	return kept
}

func above(known field.ErrorList, path string) bool {
	return slices.ContainsFunc(known, func(fault *field.Error) bool {
		return len(fault.Field) > len(path) && below(field.ErrorList{{Field: path}}, fault.Field)
	})
}

func below(known field.ErrorList, path string) bool {
	for _, fault := range known {
		rest, found := strings.CutPrefix(path, fault.Field)
		if found && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// syntaxError takes the line out of an error of the YAML parser: `yaml: line 3: …`. The
// line is 1 where the parser names none.
func syntaxError(err error) (int, error) {
	text := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	match := regexp.MustCompile(`(?s)^(?:yaml: )?(?:unmarshal errors:\s*)?(?:line (\d+): )?(.*)$`).FindStringSubmatch(text)
	line, err := strconv.Atoi(match[1])
	switch {
	case err != nil:
		line = 1
	case countsFromZero(match[2]):
		line++
	}
	return line, errors.New("invalid YAML: " + withoutValues(match[2]))
}

// withoutValues passes only those messages of the parsers that do not quote the document. What
// they quote may be a secret that is not in quotes.
func withoutValues(text string) string {
	fixed := `^(did not find |could not find |found |block sequence |mapping |control |exceeded |document contains |content follows |map merge |invalid [^m]|while )`
	switch {
	case strings.HasPrefix(text, "unknown anchor"):
		return "unknown anchor: text that begins with '*' must be in quotes"
	case strings.HasPrefix(text, "anchor "):
		return "an anchor contains itself"
	case strings.Contains(text, " map key"):
		return "a key is neither a string nor a number"
	case strings.HasPrefix(text, "cannot decode "), strings.Contains(text, "binary"):
		return "a value does not have the type of its tag"
	case strings.HasPrefix(text, "json: "):
		return "a number is too large"
	case regexp.MustCompile(fixed).MatchString(text):
		return text
	}
	return "it cannot be parsed"
}

// countsFromZero tells the errors of go-yaml's parser, whose lines count from 0, from those of
// its scanner, whose lines count from 1.
func countsFromZero(text string) bool {
	parser := `^(did not find expected (key|'-' indicator|node content|',' or|<)|found (undefined tag handle|duplicate %|incompatible))`
	return regexp.MustCompile(parser).MatchString(text)
}
