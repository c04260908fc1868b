package conf

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"time"
)

// Document is one YAML document of a source.
type Document struct {
	Origin Origin
	// Created is the creationTimestamp of the ConfigMap. It is zero for files, and for a ConfigMap that does not
	// exist yet, which counts as the youngest.
	Created time.Time
	// Content is the YAML. It must not be changed after a load. It is nil in the documents of a Set, which have
	// the result of parsing it, unless that may have to be repeated.
	Content []byte
	// Line is the line of the file or key at which Content begins, from 1.
	Line int
	// Err is set if the file or key could not be read. Then Content is empty.
	Err error
	// BaseOnly is true for a document that others can inherit from by the path of its file, but that
	// is not served. It is loaded only if another document inherits from it.
	BaseOnly bool

	// names are the refs found in a file or key that was rejected as a whole.
	names []Ref
	// known is the result of an earlier load. A load ignores it if Content is set.
	known *result
	// sum is the SHA-256 of the content. It is set by a load.
	sum [sha256.Size]byte
	// fileSum is a sum of the whole file. It is nil unless Set.Split has made the document.
	fileSum *uint64
}

// identify computes the sum of the content of a document that has not been loaded.
func (d *Document) identify() {
	if d.Content != nil || d.known == nil {
		d.known, d.sum = nil, sha256.Sum256(d.Content)
	}
}

// unchanged reports whether the document has the same origin and content as an earlier one, so that its result
// can be reused. It is false for a document that could not be read.
func (d *Document) unchanged(earlier *Document) bool {
	return d.Err == nil && d.Origin == earlier.Origin && d.Line == earlier.Line && d.BaseOnly == earlier.BaseOnly &&
		d.Created.Equal(earlier.Created) && d.sameContent(earlier)
}

// sameContent reports whether two documents have the same bytes, or could not be read for the same reason.
func (d *Document) sameContent(other *Document) bool {
	if d.Err != nil && other.Err != nil {
		return d.Err.Error() == other.Err.Error()
	}
	return d.Err == nil && other.Err == nil && d.sum == other.sum
}

// errNoDocument keeps a truncated write from unloading what the file held.
var errNoDocument = errors.New("has no document; remove the file or key to remove its sidecars")

// maxDocuments bounds the cost of one file or ConfigMap.
const maxDocuments = 1000

var errManyDocuments = fmt.Errorf("has more than %d documents; use several files or ConfigMaps", maxDocuments)

// Split splits the content of one file or key at its `---` and `...` lines. Documents that have only white space,
// comments and directives are ignored. If there is no document, or if there are more than 1000, the result is one
// document with an error. The result is never empty. It shares memory with content.
func Split(origin Origin, content []byte) []Document {
	documents := cut(origin, content, maxDocuments)
	if len(documents) > maxDocuments {
		return []Document{refuse(origin, documents, errManyDocuments)}
	}
	return documents
}

// SplitManifests is Split for any number of manifests.
func SplitManifests(origin Origin, content []byte) []Document {
	return cut(origin, content, math.MaxInt)
}

// cut splits content, but stops soon after the limit is exceeded.
func cut(origin Origin, content []byte, limit int) []Document {
	var documents []Document
	add := func(piece []byte, line int) {
		if blank(piece) {
			return
		}
		next := origin
		next.Index = len(documents)
		documents = append(documents, Document{Origin: next, Content: piece, Line: line})
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	start, startLine, at, line := 0, 1, 0, 0
	for text := range bytes.Lines(content) {
		end := at + len(text)
		line++
		switch {
		case isMarker(text, "---"):
			add(content[start:at], startLine)
			// The rest of a `--- text` line belongs to the next document. The parser does not accept a leading
			// tab.
			start, startLine = end-len(bytes.TrimLeft(text[len("---"):], " \t")), line
		case isMarker(text, "..."):
			// The parser ignores content after this line.
			add(content[start:at], startLine)
			start, startLine = end, line+1
		}
		if at = end; len(documents) > limit {
			break
		}
	}
	add(content[start:], startLine)
	if len(documents) == 0 {
		return []Document{Unreadable(origin, errNoDocument)}
	}
	return documents
}

// Unreadable returns the document of a file or key that could not be read. All its last valid sidecars stay in
// service.
func Unreadable(origin Origin, err error) Document {
	return Document{Origin: origin.whole(), Line: 1, Err: err}
}

// refuse returns the one document of a file, key or ConfigMap that is rejected as a whole. It has the names found
// in the documents, up to 1000.
func refuse(origin Origin, documents []Document, err error) Document {
	whole := Unreadable(origin, err)
	for _, d := range documents {
		whole.names = append(whole.names, d.names...)
		if ref := scanName(d.Content); ref != (Ref{}) {
			whole.names = append(whole.names, ref)
		}
	}
	whole.names = whole.names[:min(len(whole.names), maxDocuments)]
	return whole
}

// isMarker reports whether the line is the marker `---` or `...` (YAML 1.2, sections 9.1.2 and 9.1.3).
func isMarker(line []byte, mark string) bool {
	rest, found := bytes.CutPrefix(line, []byte(mark))
	return found && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// blank reports whether the content has only white space, comments and directives.
func blank(piece []byte) bool {
	for line := range bytes.Lines(piece) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}
