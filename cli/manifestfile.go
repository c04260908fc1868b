package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"k8s-sidecar-injector/conf"
)

// manifestFile is a file of manifests.
type manifestFile struct {
	name      string
	content   []byte
	documents []conf.Document

	output bytes.Buffer // the edited content
	done   int          // bytes of content before the next document
}

// readManifests reads a file, or standard input if the name is `-`.
func readManifests(name string, stdin io.Reader) (*manifestFile, error) {
	if name == "-" {
		content, err := io.ReadAll(stdin)
		if err != nil {
			return nil, err
		}
		return parseManifests("standard input", content)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseManifests(name, content)
}

// parseManifests splits content into documents. It is an error if there are none.
func parseManifests(name string, content []byte) (*manifestFile, error) {
	f := &manifestFile{name: name, content: content}
	f.documents = conf.SplitManifests(conf.Origin{Name: name}, content)
	if f.documents[0].Err != nil {
		return nil, fmt.Errorf("%s: no manifests", name)
	}
	return f, nil
}

// replace replaces the text of the next document that changes.
func (f *manifestFile) replace(document conf.Document, text []byte) {
	start := f.done + bytes.Index(f.content[f.done:], document.Content)
	f.output.Write(f.content[f.done:start])
	first, _, _ := bytes.Cut(document.Content, []byte("\n"))
	if start > 0 && f.content[start-1] != '\n' && !bytes.HasPrefix(text, first) {
		f.output.WriteByte('\n') // encoded again, so it may not begin on the line of the marker
	}
	f.output.Write(text)
	f.done = start + len(document.Content)
}

// edited returns the content with the changed documents.
func (f *manifestFile) edited() []byte {
	return append(bytes.Clone(f.output.Bytes()), f.content[f.done:]...)
}

// diff returns a unified diff of the content and the edited content. It is empty if they are equal.
func (f *manifestFile) diff() []byte {
	name := f.name
	if strings.Contains(name, " ") {
		name += "\t" // as diff does, so that patch finds the end
	}
	return diff.Diff(name, f.content, name, f.edited())
}
