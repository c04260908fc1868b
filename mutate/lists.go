package mutate

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"k8s-sidecar-injector/conf"
)

// An empty object takes three bytes in a review, and up to fifty times as many in a slice. So every
// list has a limit, and the lists here keep only elements that can matter to merging. As for any
// slice, null becomes nil and an empty list does not.

// The limits are beyond any pod that an API server can store. An element that is kept takes about as
// many bytes as in the review, except for containers and volumes.
const (
	mostContainers = 250
	mostVolumes    = 1_000
	mostElements   = 10_000
)

// Containers is a list of at most mostContainers. A null element is a nil *Container.
type Containers []*Container

// UnmarshalJSONFrom reads the list.
func (c *Containers) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readList(decoder, (*[]*Container)(c), mostContainers, "containers", func(int, **Container) bool { return true })
}

// Volumes is a list of at most mostVolumes.
type Volumes []Named

// UnmarshalJSONFrom reads the list.
func (v *Volumes) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readList(decoder, (*[]Named)(v), mostVolumes, "volumes", func(int, *Named) bool { return true })
}

// HostAliases is a list of which only the length matters.
type HostAliases []struct{}

// UnmarshalJSONFrom reads the list.
func (h *HostAliases) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readElements(decoder, (*[]struct{})(h), func(int, *struct{}) bool { return true })
}

// Names is a list of elements that have a name.
type Names []Named

// UnmarshalJSONFrom reads the list.
func (n *Names) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readElements(decoder, (*[]Named)(n), func(_ int, e *Named) bool {
		return e.Name != ""
	})
}

// Owners is a list of the owner references that are controllers.
type Owners []Owner

// UnmarshalJSONFrom reads the list.
func (o *Owners) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readElements(decoder, (*[]Owner)(o), func(_ int, e *Owner) bool {
		return e.Controller
	})
}

// Sources is a list of sources of variables.
type Sources []Source

// UnmarshalJSONFrom reads the list.
func (s *Sources) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readElements(decoder, (*[]Source)(s), func(_ int, e *Source) bool {
		return *e != Source{}
	})
}

// Tolerated is what the tolerations of a pod match.
type Tolerated []conf.Tolerated

// UnmarshalJSONFrom reads the list.
func (t *Tolerated) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readElements(decoder, (*[]conf.Tolerated)(t), func(_ int, e *conf.Tolerated) bool {
		return *e != conf.Tolerated{}
	})
}

// Mounts is a list of mounts that are not empty. Each knows its place.
type Mounts []Mount

// UnmarshalJSONFrom reads the list.
func (m *Mounts) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readElements(decoder, (*[]Mount)(m), func(at int, e *Mount) bool {
		e.at = at
		return e.Name != "" || e.MountPath != ""
	})
}

// Devices is a list of devices that are not empty.
type Devices []conf.Device

// UnmarshalJSONFrom reads the list.
func (d *Devices) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readElements(decoder, (*[]conf.Device)(d), func(_ int, e *conf.Device) bool {
		return *e != conf.Device{}
	})
}

// Ports is a list of ports that have a number: the others collide with none.
type Ports []conf.Port

// UnmarshalJSONFrom reads the list.
func (p *Ports) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readElements(decoder, (*[]conf.Port)(p), func(_ int, e *conf.Port) bool {
		return e.ContainerPort != 0 || e.HostPort != 0
	})
}

// readElements reads a list of at most mostElements.
func readElements[E any](decoder *jsontext.Decoder, list *[]E, keep func(at int, e *E) bool) error {
	return readList(decoder, list, mostElements, "elements", keep)
}

// readList reads the elements of a list, and keeps those that keep accepts. It fails if there are more
// than most, kept or not.
func readList[E any](decoder *jsontext.Decoder, list *[]E, most int, what string, keep func(at int, e *E) bool) error {
	*list = nil
	if decoder.PeekKind() != '[' {
		return json.UnmarshalDecode(decoder, list) // null, or an error
	}
	if _, err := decoder.ReadToken(); err != nil {
		return err
	}
	kept := []E{}
	for at := 0; decoder.PeekKind() != ']'; at++ {
		if at == most {
			return fmt.Errorf("more than %d %s", most, what)
		}
		var zero E
		kept = append(kept, zero)
		last := &kept[len(kept)-1]
		if err := json.UnmarshalDecode(decoder, last); err != nil {
			return err
		}
		if !keep(at, last) {
			kept = kept[:len(kept)-1]
		}
	}
	*list = kept
	_, err := decoder.ReadToken()
	return err
}
