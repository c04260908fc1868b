package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"
)

// Document is one piece of YAML with its origin, as a source yields it.
type Document struct {
	Origin Origin
	// Created is the creationTimestamp of the ConfigMap. It is zero for files, and for a ConfigMap that
	// does not exist yet, which is the youngest.
	Created time.Time
	// Content is the YAML. Nobody changes it after it was handed to Load.
	Content []byte
	// Line is the line of the file or key at which Content begins, from 1.
	Line int
	// Err is why the whole file or key could not be read; Content is then empty.
	Err error
	// Files is where a path in inherits is looked up. Nil means that this origin cannot
	// inherit by path.
	Files fs.FS

	// names are the refs in content that was rejected unread, as far as they could be found.
	names []Ref
}

// errNoDocument keeps a truncated write from unloading what the file held.
var errNoDocument = errors.New("holds no document: remove the file or key to remove its sidecars")

// maxDocuments is how many documents one file or ConfigMap may hold. Somebody's mistake must not
// cost everybody's reload.
const maxDocuments = 1000

var errManyDocuments = fmt.Errorf("holds more than %d documents: use several files or ConfigMaps", maxDocuments)

// Split cuts the content of one file or key at its `---` and `...` lines. Documents that
// hold only white space, comments or directives are passed over. When none is left, or when there
// are more than 1000, the one document returned carries an error. The result is never empty and
// shares memory with content.
func Split(origin Origin, content []byte, files fs.FS) []Document {
	documents := cut(origin, content, files, maxDocuments)
	if len(documents) > maxDocuments {
		return []Document{refuse(origin, documents, errManyDocuments)}
	}
	return documents
}

// SplitManifests is Split for manifests that are no definitions, of which there may be any number.
func SplitManifests(origin Origin, content []byte) []Document {
	return cut(origin, content, nil, math.MaxInt)
}

// cut stops soon after there are too many documents.
func cut(origin Origin, content []byte, files fs.FS, limit int) []Document {
	var documents []Document
	add := func(piece []byte, line int) {
		if blank(piece) {
			return
		}
		next := origin
		next.Index = len(documents)
		documents = append(documents, Document{Origin: next, Content: piece, Line: line, Files: files})
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	start, startLine, line := 0, 1, 1
	for at := 0; at < len(content) && len(documents) <= limit; line++ {
		end := lineEnd(content, at)
		switch {
		case marks(content[at:end], "---"):
			add(content[start:at], startLine)
			// The rest of a `--- text` line belongs to the next document, but the parser takes
			// no tab at its beginning.
			start, startLine = end-len(bytes.TrimLeft(content[at+len("---"):end], " \t")), line
		case marks(content[at:end], "..."):
			// The parser reads no further than this, so what follows would be lost.
			add(content[start:at], startLine)
			start, startLine = end, line+1
		}
		at = end
	}
	add(content[start:], startLine)
	if len(documents) == 0 {
		return []Document{Unreadable(origin, errNoDocument)}
	}
	return documents
}

// Unreadable is the document of a file or key that could not be read at all: everything
// that it last served stays in service.
func Unreadable(origin Origin, err error) Document {
	return Document{Origin: origin.whole(), Line: 1, Err: err}
}

// refuse returns the one document in place of all those of a file, a key or a ConfigMap that is
// rejected as a whole. It keeps the names in them, up to 1000.
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

// lineEnd is the offset behind the line that begins at the given offset.
func lineEnd(content []byte, at int) int {
	if n := bytes.IndexByte(content[at:], '\n'); n >= 0 {
		return at + n + 1
	}
	return len(content)
}

// marks tells a `---` or `...` line from text that only begins so (YAML 1.2, sections 9.1.2
// and 9.1.3).
func marks(line []byte, mark string) bool {
	rest, found := bytes.CutPrefix(line, []byte(mark))
	return found && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// blank tells a piece that holds nothing but white space, comments and directives.
func blank(piece []byte) bool {
	for line := range bytes.Lines(piece) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}
