package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf/podrules"
)

// FilledSize is how many bytes of JSON the values take in all holes together, at most. Whoever calls Fill
// with values of strangers looks at it before.
func (s *Sidecar) FilledSize(values []string) int {
	size := 0
	var escaped []byte
	for i, value := range values {
		escaped = appendEscaped(escaped[:0], value)
		size += s.uses[i] * len(escaped)
	}
	return size
}

// Fill gives the sidecar with its holes filled. The values are those of Parameters, which must
// have passed their Check, and then of PodFields. The sidecar itself is not changed, and is given
// back where there is nothing to fill that its defaults have not filled. An error is a *FillError.
func (s *Sidecar) Fill(values []string) (*Sidecar, error) {
	if s.filledBy(values) {
		return s, nil
	}
	f := &filler{sidecar: s, values: values}
	filled := *s
	filled.PrependInitContainers = f.containers("prependInitContainers", s.PrependInitContainers)
	filled.InitContainers = f.containers("initContainers", s.InitContainers)
	filled.PrependContainers = f.containers("prependContainers", s.PrependContainers)
	filled.Containers = f.containers("containers", s.Containers)
	filled.Volumes = fillList(f, "volumes", s.Volumes, (*filler).volume)
	filled.VolumeMounts = fillList(f, "volumeMounts", s.VolumeMounts, (*filler).mount)
	filled.Env = fillList(f, "env", s.Env, (*filler).env)
	filled.EnvFrom = fillList(f, "envFrom", s.EnvFrom, (*filler).envFrom)
	filled.Labels = fillList(f, "labels", s.Labels, (*filler).label)
	filled.NodeSelector = fillList(f, "nodeSelector", s.NodeSelector, (*filler).label)
	filled.Annotations = fillList(f, "annotations", s.Annotations, (*filler).annotation)
	filled.Tolerations = fillList(f, "tolerations", s.Tolerations, (*filler).toleration)
	filled.HostAliases = fillList(f, "hostAliases", s.HostAliases, (*filler).hostAlias)
	if slices.ContainsFunc(s.VolumeMounts, func(m Mount) bool { return m.holed() }) {
		f.mountPaths("volumeMounts", filled.VolumeMounts, nil)
	}
	if f.unfit != nil {
		return nil, f.unfit
	}
	return &filled, nil
}

// FillError tells that values make a field invalid.
type FillError struct {
	// Values are the numbers of those that stand in the field or, where a rule is about several
	// fields, near it. There always are some.
	Values []int
	// Field is its path.
	Field string
	// Why is what is wrong, without the values.
	Why string
}

// Error gives the field and what is wrong with it.
func (e *FillError) Error() string {
	return e.Field + ": " + e.Why
}

// filledBy tells whether the values are those that stand in the holes already.
func (s *Sidecar) filledBy(values []string) bool {
	for i := range s.Parameters {
		if d := s.Parameters[i].Default; d == nil || *d != values[i] {
			return false
		}
	}
	return len(s.PodFields) == 0
}

// filler fills, and keeps the first thing that is wrong.
type filler struct {
	sidecar *Sidecar
	values  []string
	unfit   *FillError
}

// slot is an element of a list, as a field path.
type slot struct {
	list string
	at   int
}

func (s slot) String() string {
	return fmt.Sprintf("%s[%d]", s.list, s.at)
}

// holed tells whether there are holes.
func (t *Text) holed() bool {
	return t.template != nil
}

// fillList gives the list with its holes filled. What it was given is not changed.
func fillList[E any, P interface {
	*E
	holed() bool
}](f *filler, path string, list []E, fill func(*filler, slot, P)) []E {
	filled := list
	for i := range list {
		if !P(&list[i]).holed() {
			continue
		}
		if &filled[0] == &list[0] {
			filled = slices.Clone(list)
		}
		fill(f, slot{path, i}, &filled[i])
	}
	return filled
}

// fill fills one text. It tells whether that must be checked.
func (f *filler) fill(t *Text) bool {
	if f.unfit != nil {
		return false
	}
	t.JSON = t.template.fill(f.values)
	return t.template.checked
}

// decode reads a text that was filled.
func (f *filler) decode(at slot, t *Text, into any) bool {
	if err := json.Unmarshal(t.JSON, into); err != nil {
		f.fail(t, at.String(), "a value does not fit the type of a field")
	}
	return f.unfit == nil
}

// validate checks a definition that has nothing but the element that was filled.
func (f *filler) validate(t *Text, at slot, only podrules.Definition) {
	faults := only.Faults()
	if len(faults) == 0 {
		return
	}
	path := withKey(faults[0]).Field
	if _, within, found := strings.Cut(path, "[0]"); found {
		path = at.String() + within
	}
	f.fail(t, path, cmp.Or(faults[0].Detail, faults[0].Type.String()))
}

// fail blames the values in the field or, if there are none, all of the text.
func (f *filler) fail(t *Text, at, why string) {
	if f.unfit != nil {
		return
	}
	f.unfit = &FillError{Values: t.template.needs(leafPath(at)), Field: shownPath(at), Why: why}
	if f.unfit.Values == nil {
		f.unfit.Values = t.template.needs("")
	}
}

func (f *filler) containers(list string, containers []Container) []Container {
	filled := slices.Clone(containers)
	for i := range filled {
		c, at := &filled[i], slot{list, i}
		if c.holed() && f.fill(&c.Text) {
			f.container(at, c, isInit(list))
		}
		within := func(name string) string { return at.String() + "." + name }
		if slices.ContainsFunc(c.VolumeMounts, func(m Mount) bool { return m.holed() }) {
			c.VolumeMounts = fillList(f, within("volumeMounts"), c.VolumeMounts, (*filler).mount)
			f.mountPaths(within("volumeMounts"), c.VolumeMounts, c.Devices)
		}
		if c.holed() {
			f.devicePaths(at, c)
		}
		if slices.ContainsFunc(c.Env, func(e Element) bool { return e.holed() }) {
			c.Env = fillList(f, within("env"), c.Env, (*filler).env)
		}
		if slices.ContainsFunc(c.EnvFrom, func(e EnvFrom) bool { return e.holed() }) {
			c.EnvFrom = fillList(f, within("envFrom"), c.EnvFrom, (*filler).envFrom)
		}
	}
	return filled
}

// container checks a container without the lists that stand beside its text.
func (f *filler) container(at slot, c *Container, init bool) {
	var decoded corev1.Container
	if !f.decode(at, &c.Text, &decoded) {
		return
	}
	only := podrules.Definition{Containers: []corev1.Container{decoded}}
	if init {
		only.Containers, only.InitContainers = nil, only.Containers
	}
	f.validate(&c.Text, at, only)
	c.derive(&decoded, init)
}

func (f *filler) volume(at slot, e *Element) {
	var decoded corev1.Volume
	if f.fill(&e.Text) && f.decode(at, &e.Text, &decoded) {
		f.validate(&e.Text, at, podrules.Definition{Volumes: []corev1.Volume{decoded}})
	}
}

// mount is decoded only if more than its path has holes: paths are common, and need no more than
// to be there.
func (f *filler) mount(at slot, m *Mount) {
	if f.fill(&m.Text) {
		var decoded corev1.VolumeMount
		if f.decode(at, &m.Text, &decoded) {
			decoded.MountPropagation = nil // it has no holes, and depends on the container
			f.validate(&m.Text, at, podrules.Definition{VolumeMounts: []corev1.VolumeMount{decoded}})
			f.subPath(at.String()+".subPath", m, decoded.SubPath)
			f.subPath(at.String()+".subPathExpr", m, decoded.SubPathExpr)
		}
	}
	if m.path == nil || f.unfit != nil {
		return
	}
	path, _ := jsontext.AppendUnquote(nil, m.path.fill(f.values))
	if m.Path = string(path); strings.TrimSpace(m.Path) == "" {
		f.fail(&m.Text, at.String()+".mountPath", "must not be empty")
	}
}

// subPath refuses one that has come to be empty: that would be the whole volume.
func (f *filler) subPath(at string, m *Mount, value string) {
	if value == "" && m.template.needs(leafPath(at)) != nil {
		f.fail(&m.Text, at, "must not be empty")
	}
}

// mountPaths rejects a mount that got the path of another, or of a device.
func (f *filler) mountPaths(path string, mounts []Mount, devices []Device) {
	users := make(map[string]int, len(mounts)+len(devices))
	for i := range mounts {
		users[cleanMount(mounts[i].Path)]++
	}
	for i := range devices {
		users[cleanMount(devices[i].Path)]++
	}
	for i := range mounts {
		if m := &mounts[i]; m.holed() && users[cleanMount(m.Path)] > 1 {
			f.fail(&m.Text, slot{path, i}.String()+".mountPath", "the path is in use by another mount")
		}
	}
}

// devicePaths rejects a device that got the path of a mount.
func (f *filler) devicePaths(at slot, c *Container) {
	mounted := make(map[string]bool, len(c.VolumeMounts))
	for i := range c.VolumeMounts {
		mounted[cleanMount(c.VolumeMounts[i].Path)] = true
	}
	for i := range c.Devices {
		if mounted[cleanMount(c.Devices[i].Path)] {
			f.fail(&c.Text, fmt.Sprintf("%s.volumeDevices[%d].devicePath", at, i), "the path is in use by a mount")
		}
	}
}

func (f *filler) env(at slot, e *Element) {
	var decoded corev1.EnvVar
	if f.fill(&e.Text) && f.decode(at, &e.Text, &decoded) {
		f.validate(&e.Text, at, podrules.Definition{Env: []corev1.EnvVar{decoded}})
	}
}

func (f *filler) envFrom(at slot, e *EnvFrom) {
	var decoded corev1.EnvFromSource
	if f.fill(&e.Text) && f.decode(at, &e.Text, &decoded) {
		f.validate(&e.Text, at, podrules.Definition{EnvFrom: []corev1.EnvFromSource{decoded}})
		e.EnvSource = sourceOf(&decoded)
	}
}

func (f *filler) label(at slot, p *Pair) {
	if f.annotation(at, p); f.unfit == nil {
		only := podrules.Definition{Labels: map[string]string{p.Key: p.Value}}
		if at.list == "nodeSelector" {
			only.Labels, only.NodeSelector = nil, only.Labels
		}
		f.validate(&p.Text, at, only)
	}
}

// annotation fills the value of any pair: every text is good for an annotation.
func (f *filler) annotation(at slot, p *Pair) {
	f.fill(&p.Text)
	f.decode(at, &p.Text, &p.Value)
}

func (f *filler) toleration(at slot, t *Toleration) {
	var decoded corev1.Toleration
	if f.fill(&t.Text) && f.decode(at, &t.Text, &decoded) {
		f.validate(&t.Text, at, podrules.Definition{Tolerations: []corev1.Toleration{decoded}})
		t.Tolerated = toleratedBy(&decoded)
	}
}

func (f *filler) hostAlias(at slot, t *Text) {
	var decoded corev1.HostAlias
	if f.fill(t) && f.decode(at, t, &decoded) {
		f.validate(t, at, podrules.Definition{HostAliases: []corev1.HostAlias{decoded}})
	}
}
