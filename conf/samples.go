package conf

import (
	"embed"
	"io/fs"
)

//go:embed *.yaml
var samples embed.FS

// Samples are the sample sidecars that are built into the program, a flat directory of
// YAML files.
func Samples() fs.FS {
	return samples
}
