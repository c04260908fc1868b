package conf

import (
	"cmp"
	"fmt"
	"path"
)

// Kind says what sort of source a document came from. Its order is the order in which
// sources claim a ref: files before ConfigMaps.
type Kind uint8

// The kinds of origin.
const (
	File Kind = iota
	ConfigMap
)

// Origin says where a document came from. It is comparable, so it can be a map key.
type Origin struct {
	Kind Kind
	// Place is the directory as the operator named it, or namespace/name of a ConfigMap.
	Place string
	// Name is the slash-separated path below that directory, or the key of the ConfigMap. It is
	// empty for a ConfigMap as a whole.
	Name string
	// Index counts the non-empty documents of one file or key, from 0.
	Index int
}

// String gives the origin as logs and errors show it, such as `file conf/logger.yaml`,
// `configmap sidecars/team-a[logger.yaml] document 2` or `configmap sidecars/team-a`.
func (o Origin) String() string {
	if o.Index == 0 {
		return o.text()
	}
	return fmt.Sprintf("%s document %d", o.text(), o.Index+1)
}

// text is the file or key, without the index.
func (o Origin) text() string {
	if o.isConfigMap() {
		return printable("configmap " + o.Place)
	}
	if o.Kind == ConfigMap {
		return printable(fmt.Sprintf("configmap %s[%s]", o.Place, o.Name))
	}
	return printable("file " + path.Join(o.Place, o.Name))
}

// Compare orders origins: files before ConfigMaps, then by place, name and index.
func (o Origin) Compare(other Origin) int {
	return cmp.Or(
		cmp.Compare(o.Kind, other.Kind),
		cmp.Compare(o.Place, other.Place),
		cmp.Compare(o.Name, other.Name),
		cmp.Compare(o.Index, other.Index),
	)
}

// whole is the same origin without its index: the file or key itself.
func (o Origin) whole() Origin {
	o.Index = 0
	return o
}

// holder is where the limits of a ConfigMap's contents count: the ConfigMap as a whole, or the
// file itself.
func (o Origin) holder() Origin {
	if o.Kind == ConfigMap {
		o.Name = ""
	}
	return o.whole()
}

// isConfigMap tells a ConfigMap as a whole from its keys.
func (o Origin) isConfigMap() bool {
	return o.Kind == ConfigMap && o.Name == ""
}
