package conf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
)

// encode makes the sidecar of a flattened definition. The elements' JSON comes from what the
// author wrote, not from Go types, so nothing is defaulted, reformatted or lost.
func encode(p *parsed, flat tree) (*Sidecar, error) {
	d, err := typed(flat)
	if err != nil {
		return nil, err
	}
	e := encoder{}
	s := &Sidecar{
		Ref:                p.ref,
		Origin:             p.document.Origin,
		Digest:             e.digest(p.ref, flat),
		InitContainers:     e.containers(elements(flat, "initContainers")),
		Containers:         e.containers(elements(flat, "containers")),
		Volumes:            e.elements(elements(flat, "volumes")),
		VolumeMounts:       e.mounts(elements(flat, "volumeMounts")),
		Env:                e.elements(elements(flat, "env")),
		EnvFiles:           sharedEnvFiles(d.Env),
		HostNetwork:        d.HostNetwork,
		HostPID:            d.HostPID,
		ServiceAccountName: d.ServiceAccountName,
	}
	for _, alias := range elements(flat, "hostAliases") {
		s.HostAliases = append(s.HostAliases, e.json(alias))
	}
	for i := range d.Containers {
		s.Containers[i].Ports = ports(&d.Containers[i])
		s.Containers[i].Demands = demandsOf(&d.Containers[i])
	}
	for i := range d.InitContainers {
		s.InitContainers[i].Demands = demandsOf(&d.InitContainers[i])
		if native(&d.InitContainers[i]) {
			s.InitContainers[i].Ports = ports(&d.InitContainers[i])
		}
	}
	return s, e.err
}

// encoder keeps the first error, so that what uses it reads straight.
type encoder struct {
	err error
}

// json gives compact JSON with sorted keys and without HTML escapes.
func (e *encoder) json(value any) []byte {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil && e.err == nil {
		e.err = err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}

func (e *encoder) digest(ref Ref, flat tree) string {
	content := maps.Clone(flat)
	content["name"] = ref.String()
	delete(content, "inherits")
	sum := sha256.Sum256(e.json(content))
	return hex.EncodeToString(sum[:])
}

func (e *encoder) elements(list []any) []Element {
	encoded := make([]Element, len(list))
	for i, element := range list {
		encoded[i] = Element{Name: nameOf(element), JSON: e.json(element)}
	}
	return encoded
}

func (e *encoder) mounts(list []any) []Mount {
	encoded := make([]Mount, len(list))
	for i, element := range e.elements(list) {
		mountPath, _ := list[i].(tree)["mountPath"].(string)
		encoded[i] = Mount{Element: element, Path: mountPath}
	}
	return encoded
}

func (e *encoder) containers(list []any) []Container {
	encoded := make([]Container, len(list))
	for i, element := range list {
		written, _ := element.(tree)
		rest := maps.Clone(written)
		delete(rest, "env")
		delete(rest, "volumeMounts")
		encoded[i] = Container{
			Element:      Element{Name: nameOf(element), JSON: e.json(rest)},
			Env:          e.elements(elements(written, "env")),
			VolumeMounts: e.mounts(elements(written, "volumeMounts")),
			Devices:      devices(elements(written, "volumeDevices")),
		}
	}
	return encoded
}

func devices(list []any) []Device {
	var found []Device
	for _, element := range list {
		path, _ := element.(tree)["devicePath"].(string)
		found = append(found, Device{Name: nameOf(element), Path: path})
	}
	return found
}
