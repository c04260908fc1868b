package mutate

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"k8s-sidecar-injector/conf"
)

// A list of empty objects takes three bytes an element in a request, and up to fifty times as
// many as a slice of views. So the lists here keep what can matter to merging, and those in
// which the position of each counts have an end. As for any slice, null makes nil, and an
// empty list does not.

// mostElements is far beyond any pod.
const mostElements = 10_000

// Containers is a list of at most mostElements. A null element is a nil *Container.
type Containers []*Container

// UnmarshalJSONFrom reads the list.
func (c *Containers) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readList(decoder, (*[]*Container)(c), func(at int, _ **Container) (bool, error) {
		return true, withinBounds(at, "containers")
	})
}

// Volumes is a list of at most mostElements.
type Volumes []Volume

// UnmarshalJSONFrom reads the list.
func (v *Volumes) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readList(decoder, (*[]Volume)(v), func(at int, _ *Volume) (bool, error) {
		return true, withinBounds(at, "volumes")
	})
}

func withinBounds(at int, what string) error {
	if at < mostElements {
		return nil
	}
	return fmt.Errorf("more than %d %s", mostElements, what)
}

// Names is a list of elements that have a name.
type Names []Named

// UnmarshalJSONFrom reads the list.
func (n *Names) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readList(decoder, (*[]Named)(n), func(_ int, e *Named) (bool, error) {
		return e.Name != "", nil
	})
}

// Owners is a list of the owner references that are controllers.
type Owners []Owner

// UnmarshalJSONFrom reads the list.
func (o *Owners) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readList(decoder, (*[]Owner)(o), func(_ int, e *Owner) (bool, error) {
		return e.Controller, nil
	})
}

// Sources is a list of sources of variables.
type Sources []Source

// UnmarshalJSONFrom reads the list.
func (s *Sources) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readList(decoder, (*[]Source)(s), func(_ int, e *Source) (bool, error) {
		return *e != Source{}, nil
	})
}

// Tolerated is what the tolerations of a pod match.
type Tolerated []conf.Tolerated

// UnmarshalJSONFrom reads the list.
func (t *Tolerated) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readList(decoder, (*[]conf.Tolerated)(t), func(_ int, e *conf.Tolerated) (bool, error) {
		return *e != conf.Tolerated{}, nil
	})
}

// Mounts is a list of mounts that are not empty. Each knows its place.
type Mounts []Mount

// UnmarshalJSONFrom reads the list.
func (m *Mounts) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readList(decoder, (*[]Mount)(m), func(at int, e *Mount) (bool, error) {
		e.at = at
		return e.Name != "" || e.MountPath != "", nil
	})
}

// Devices is a list of devices that are not empty.
type Devices []conf.Device

// UnmarshalJSONFrom reads the list.
func (d *Devices) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readList(decoder, (*[]conf.Device)(d), func(_ int, e *conf.Device) (bool, error) {
		return *e != conf.Device{}, nil
	})
}

// Ports is a list of ports that have a number: the others collide with none.
type Ports []conf.Port

// UnmarshalJSONFrom reads the list.
func (p *Ports) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readList(decoder, (*[]conf.Port)(p), func(_ int, e *conf.Port) (bool, error) {
		return e.ContainerPort != 0 || e.HostPort != 0, nil
	})
}

// readList reads the elements of a list that the judge wants to keep. An error of the judge
// ends it.
func readList[E any](decoder *jsontext.Decoder, list *[]E, judge func(at int, e *E) (bool, error)) error {
	*list = nil
	if decoder.PeekKind() != '[' {
		return json.UnmarshalDecode(decoder, list) // null, or an error
	}
	if _, err := decoder.ReadToken(); err != nil {
		return err
	}
	kept := []E{}
	for at := 0; decoder.PeekKind() != ']'; at++ {
		var zero E
		kept = append(kept, zero)
		last := &kept[len(kept)-1]
		if err := json.UnmarshalDecode(decoder, last); err != nil {
			return err
		}
		keep, err := judge(at, last)
		if err != nil {
			return err
		}
		if !keep {
			kept = kept[:len(kept)-1]
		}
	}
	*list = kept
	_, err := decoder.ReadToken()
	return err
}
