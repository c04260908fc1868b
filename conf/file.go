package conf

import (
	"path"
	"strings"
)

// OfFile returns the documents of a file as if it were in a config directory. The name is the slash-separated path
// below the directory. Files in subdirectories, and dot files, are bases only. The result is empty unless the name
// ends in .yaml or .yml, or if a subdirectory is hidden.
func OfFile(root, name string, content []byte) []Document {
	directory, file := path.Split(name)
	if !isPath(file) || strings.Contains("/"+directory, "/.") {
		return nil
	}
	documents := Split(Origin{Kind: File, Root: root, Name: name}, content)
	for i := range documents {
		documents[i].BaseOnly = directory != "" || strings.HasPrefix(file, ".")
	}
	return documents
}
