package conf

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.yaml
var samples embed.FS

// Samples returns the sample sidecars that are built into the program, a flat directory of YAML files.
func Samples() fs.FS {
	return samples
}

// Documents returns the documents of the YAML files in the top-level directory of a file system. Dot files are
// ignored. It is for file systems that do not change, such as Samples.
func Documents(files fs.FS, root string) ([]Document, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	var documents []Document
	for _, entry := range entries {
		if entry.IsDir() || !isPath(entry.Name()) || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		content, err := fs.ReadFile(files, entry.Name())
		if err != nil {
			return nil, err
		}
		documents = append(documents, Split(Origin{Root: root, Name: entry.Name()}, content)...)
	}
	return documents, nil
}
