package conf

import (
	"slices"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
)

// Content is what a sidecar adds to pods. It is encoded, so that a review only copies bytes. It must not be changed.
type Content struct {
	// PrependInitContainers and PrependContainers come before the containers of the pod, the other two
	// after them.
	PrependInitContainers, InitContainers []Container
	PrependContainers, Containers         []Container

	// Elements has the elements of the other lists and maps by field of the definition. Those of
	// volumeMounts, envFrom and fields of variables are added to every container that AppliesTo selects, all
	// others to the pod. A field that is neither a list nor a map has one element, or none if it is false
	// or empty. Lists in dnsConfig and podSecurityContext have elements by path, such as dnsConfig.options.
	Elements  map[string][]Element
	AppliesTo *AppliesTo
	CopyFrom  []CopyFrom // what the containers of the sidecar get from a container of the pod
}

// forms are the forms of a definition that reviews need. Each is made when it is first needed and then kept, because
// few of many sidecars are requested.
type forms struct {
	source          lazy[decoded] // empty unless there are parameters
	content, native lazy[Content]
}

// lazy is a value that is made when it is first needed. Unlike with sync.Once, reviews take no lock: several may make
// the value at the same time, and all get the first one that is done.
type lazy[T any] struct{ made atomic.Pointer[T] }

func (l *lazy[T]) set(value *T) { l.made.Store(value) }

func (l *lazy[T]) get(build func() *T) *T {
	if made := l.made.Load(); made != nil {
		return made
	}
	l.made.CompareAndSwap(nil, build())
	return l.made.Load()
}

// Content returns what the sidecar adds to pods, with the values of Render or with the defaults of its parameters. A
// parameter without a default has a sample value. If the sidecar is the result of ForJobs, its containers may be
// native sidecars.
func (s *Sidecar) Content() *Content {
	if s.inJob {
		return s.forms.native.get(s.nativeContent)
	}
	return s.forms.content.get(s.defaultContent)
}

// Elements returns those of Content.
func (s *Sidecar) Elements(field string) []Element { return s.Content().Elements[field] }

// ForJobs returns the sidecar as it is in pods that run to completion. With InJobsNative, its containers
// are native sidecars, which come after its other init containers.
func (s *Sidecar) ForJobs() *Sidecar {
	if s.InJobs != InJobsNative {
		return s
	}
	native := *s
	native.inJob = true
	return &native
}

// source returns the decoded definition.
func (s *Sidecar) source() *decoded {
	if len(s.Parameters) == 0 {
		return s.decode()
	}
	return s.forms.source.get(s.decode)
}

func (s *Sidecar) decode() *decoded {
	definition := s.Definition()
	d := decodeFlat(definition)
	d.keepText(s.text)
	if d.text != nil {
		d.tree = definition // as written, such as null in a map of strings
	}
	return d
}

func (s *Sidecar) defaultContent() *Content {
	source := s.source()
	filled, _, err := source.substitute(source.scope.Samples(0))
	if err != nil {
		panic(err) // a load has decoded it
	}
	return s.encode(filled)
}

// nativeContent returns the content with native sidecars (KEP-753) in the place of containers.
func (s *Sidecar) nativeContent() *Content {
	native := *s.forms.content.get(s.defaultContent)
	native.PrependInitContainers = slices.Concat(native.PrependInitContainers, nativesOf(native.PrependContainers))
	native.InitContainers = slices.Concat(native.InitContainers, nativesOf(native.Containers))
	native.PrependContainers, native.Containers = nil, nil
	return &native
}

// nativesOf returns containers as native sidecars. Only their JSON differs.
func nativesOf(containers []Container) []Container {
	list := slices.Clone(containers)
	for i := range list {
		container, err := decodeText(list[i].JSON)
		if err == nil {
			container["restartPolicy"] = string(corev1.ContainerRestartPolicyAlways)
			list[i].JSON, err = compactJSON(container)
		}
		if err != nil {
			panic(err) // a load has encoded it
		}
	}
	return list
}
