package conf

import (
	"cmp"
	"fmt"
	"path"
)

// Kind is the kind of source of a document. Kinds are ordered by precedence: a ref that is defined in a file
// and in a ConfigMap belongs to the file.
type Kind uint8

// The kinds of origin.
const (
	File Kind = iota
	ConfigMap
)

// Origin is where a document came from. It is comparable.
type Origin struct {
	Kind Kind
	// Root is the config directory as the operator named it, or namespace/name of a ConfigMap.
	Root string
	// Name is the slash-separated path below the directory, or the key of the ConfigMap. It is empty for a
	// ConfigMap as a whole.
	Name string
	// Index is the index of the document among the non-empty documents of its file or key.
	Index int
}

// String returns the origin as shown in logs and errors, such as `file conf/logger.yaml`,
// `configmap sidecars/team-a[logger.yaml] document 2` or `configmap sidecars/team-a`.
func (o Origin) String() string {
	if o.Index == 0 {
		return o.fileString()
	}
	return fmt.Sprintf("%s document %d", o.fileString(), o.Index+1)
}

// fileString returns String without the index.
func (o Origin) fileString() string {
	if o.isConfigMap() {
		return printable("configmap " + o.Root)
	}
	if o.Kind == ConfigMap {
		return printable(fmt.Sprintf("configmap %s[%s]", o.Root, o.Name))
	}
	return printable("file " + path.Join(o.Root, o.Name))
}

// Compare orders origins by kind, root, name and index.
func (o Origin) Compare(other Origin) int {
	return cmp.Or(
		cmp.Compare(o.Kind, other.Kind),
		cmp.Compare(o.Root, other.Root),
		cmp.Compare(o.Name, other.Name),
		cmp.Compare(o.Index, other.Index),
	)
}

// whole returns the origin of the file or key, without the index of a document.
func (o Origin) whole() Origin {
	o.Index = 0
	return o
}

// holder returns the origin whose documents share limits: the file, or the ConfigMap as a whole.
func (o Origin) holder() Origin {
	if o.Kind == ConfigMap {
		o.Name = ""
	}
	return o.whole()
}

// isConfigMap reports whether the origin is a ConfigMap as a whole.
func (o Origin) isConfigMap() bool {
	return o.Kind == ConfigMap && o.Name == ""
}
