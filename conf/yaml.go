package conf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// JSON converts any YAML document to JSON as Kubernetes does. It is for manifests. The error is Err if that is
// set. Otherwise, it has an *Error with its line for a syntax error, and for each key that is a duplicate or that
// Kubernetes does not parse as a string.
func (d Document) JSON() ([]byte, error) {
	if d.Err != nil {
		return nil, d.Err
	}
	p := newParsed(d)
	text, lines, ok := p.read(d, fewAliases, false)
	if ok {
		p.rejectAll(lines.duplicates(true), lines)
	}
	return text, joined(p.faults).ErrorOrNil()
}

// read parses the document and converts it to JSON. It is not ok if there is a syntax error, or if affordable rejects
// the document before its aliases are expanded. If definition is set, the text is nil if lines has the document, and
// the conversion would find no more errors, or finds only that JSON lacks a number, such as .inf.
func (p *parsed) read(
	document Document, affordable func(outline) error, definition bool,
) (text []byte, lines outline, ok bool) {
	document.Content = plainJSON(document.Content)
	convert := yaml.YAMLToJSON
	lines, err := newOutline(document)
	if err != nil && !errors.Is(err, errRest) && bytes.IndexByte(document.Content, '&') < 0 {
		// The parser of Kubernetes may accept the document, or report a better line.
		err, convert = nil, yaml.YAMLToJSONStrict
	}
	if err == nil {
		if why := affordable(lines); why != nil {
			p.reject(0, why)
			return nil, outline{}, false
		}
		if definition && lines.isPlain() {
			return nil, lines, true
		}
		text, err = convert(document.Content)
	}
	if err != nil && definition && lines.root != nil && strings.Contains(err.Error(), "json: unsupported value") {
		return nil, lines, true
	}
	if err != nil {
		line, why := syntaxError(err)
		if bracesCause(document, err) {
			why = fmt.Errorf("%w; inside braces and brackets, text with ${...} must be in quotes", why)
		}
		p.reject(line+document.Line-1, why)
		return nil, outline{}, false
	}
	return text, lines, true
}

// namedBraces matches `${name}`.
var namedBraces = regexp.MustCompile(`\$\{([^{}\n]*)\}`)

// bracesCause reports whether a `${name}` without quotes in a flow mapping or sequence causes the error: without its
// braces, the document has another error or none.
func bracesCause(document Document, err error) bool {
	document.Content = namedBraces.ReplaceAll(document.Content, []byte("$-$1-"))
	if len(document.Content) > maxDocument || !bytes.Contains(document.Content, []byte("$-")) {
		return false
	}
	_, other := newOutline(document)
	return other == nil || other.Error() != err.Error()
}

// jsonEscape matches an escaped backslash first, so that the text after it is not taken for an escape.
var jsonEscape = regexp.MustCompile(`\\\\|\\/|\\u[dD][89abAB]..\\u[dD][c-fC-F]..`)

// plainJSON replaces the JSON escapes that the YAML parser does not support: `\/` and surrogate pairs. Content
// that is not JSON is not changed.
func plainJSON(content []byte) []byte {
	if !bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")) || !json.Valid(content) {
		return content
	}
	return jsonEscape.ReplaceAllFunc(content, func(found []byte) []byte {
		var text string
		if string(found) == `\\` || json.Unmarshal([]byte(`"`+string(found)+`"`), &text) != nil {
			return found
		}
		return []byte(text)
	})
}

// yamlControl matches characters that JSON texts may have, and that the YAML parser rejects or takes for line ends.
var yamlControl = regexp.MustCompile(`[\x7f-\x{9f}\x{2028}\x{2029}\x{feff}\x{fffe}\x{ffff}]`)

// JSONToYAML converts a JSON object to YAML. Unlike yaml.JSONToYAML, it accepts every character and escape of JSON.
func JSONToYAML(object []byte) ([]byte, error) {
	return yaml.JSONToYAML(yamlControl.ReplaceAllFunc(plainJSON(object), func(found []byte) []byte {
		character, _ := utf8.DecodeRune(found)
		return fmt.Appendf(nil, `\u%04x`, character)
	}))
}

// EncodeYAML encodes a value whose JSON is an object as YAML.
func EncodeYAML(value any) ([]byte, error) {
	object, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return JSONToYAML(object)
}

func decodeJSON(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	return value, decoder.Decode(&value)
}

// decodeText decodes a definition that canonical has encoded.
func decodeText(text []byte) (tree, error) {
	value, err := decodeJSON(text)
	definition, _ := value.(tree)
	return definition, err
}

var (
	// parserError matches `yaml: line 3: …` and its variants.
	parserError = regexp.MustCompile(`(?s)^(?:yaml: )?(?:unmarshal errors:\s*)?(?:line (\d+): )?(.*)$`)
	// constantError matches the messages of the parsers that do not quote the document.
	constantError = regexp.MustCompile(`^(did not find |could not find |found |block sequence |mapping |control |` +
		`exceeded |document contains |content follows |map merge |invalid [^m]|while )`)
	// zeroBasedError matches the messages of go-yaml whose lines count from 0. They come from its parser; those
	// of its scanner count from 1.
	zeroBasedError = regexp.MustCompile(`^(did not find expected (key|'-' indicator|node content|',' or|<)|` +
		`found (undefined tag handle|duplicate %|incompatible))`)
)

// syntaxError splits an error of the YAML parser into line and message. The line is 1 if the error has none.
func syntaxError(err error) (int, error) {
	text := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	match := parserError.FindStringSubmatch(text)
	line, err := strconv.Atoi(match[1])
	switch {
	case err != nil:
		line = 1
	case zeroBasedError.MatchString(match[2]):
		line++
	}
	return line, errors.New("invalid YAML: " + withoutValues(match[2]))
}

// withoutValues replaces messages of the parsers that quote the document, because the quoted text may be a
// secret.
func withoutValues(text string) string {
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
	case constantError.MatchString(text):
		return text + syntaxHint(text)
	}
	return "it cannot be parsed"
}

// syntaxHint returns the usual causes of an error whose message does not name them, or an empty string.
func syntaxHint(text string) string {
	switch text {
	case "found character that cannot start any token":
		return "; indent with spaces, not tabs, and put text that begins with '@', '%' or '`' in quotes"
	case "mapping values are not allowed in this context":
		return "; check the indentation, and put text with ': ' in quotes"
	case "could not find expected ':'":
		return "; this line or the one before may lack a space after a colon"
	}
	return ""
}
