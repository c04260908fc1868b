package mutate

import (
	"slices"
	"strconv"
)

// encode returns the plan as a JSON Patch. Removals come first, and from the end of each list, so
// that they do not change indexes that later operations use.
func (p *plan) encode() []byte {
	w := &p.patch
	w.buffer = make([]byte, 0, p.size+512)
	if p.object.Spec == nil {
		w.set(opAdd, "{}", "/spec")
	}
	p.encodeServiceAccount(w)
	addElements(w, p.spec.Volumes != nil, p.volumes.added, "/spec/volumes")
	for _, c := range p.containers[:p.received] {
		c.encodeAdditions(w)
	}
	addAll(w, p.spec.InitContainers != nil, p.prependInitContainers, p.initContainers, writeContainer,
		"/spec/initContainers")
	addAll(w, p.spec.Containers != nil, p.prependContainers, p.appendContainers, writeContainer, "/spec/containers")
	p.encodePod(w)
	return append(w.buffer, ']') // it has at least the status annotation
}

// encodeServiceAccount also removes the token mounts. It sets the deprecated alias if the pod has it,
// because the API server keeps both equal.
func (p *plan) encodeServiceAccount(w *patch) {
	if p.account == nil {
		return
	}
	for _, c := range p.containers[:p.received] {
		for _, m := range slices.Backward(c.receivedMounts) {
			if c.removes(&m) {
				w.remove("/spec/", c.list, "/", strconv.Itoa(c.index), "/volumeMounts/", strconv.Itoa(m.index))
			}
		}
	}
	for _, index := range slices.Backward(p.removed) {
		w.remove("/spec/volumes/", strconv.Itoa(index))
	}
	w.setString(opAdd, p.account.ServiceAccountName, "/spec/serviceAccountName")
	if p.spec.ServiceAccount != nil {
		w.setString(opReplace, p.account.ServiceAccountName, "/spec/serviceAccount")
	}
}

// encodeAdditions adds elements to the lists of a received container.
func (c *container) encodeAdditions(w *patch) {
	index := strconv.Itoa(c.index)
	addElements(w, c.received.Env != nil, c.env.added, "/spec/", c.list, "/", index, "/env")
	addAll(w, c.received.EnvFrom != nil, c.envFrom.added, nil, writeElement, "/spec/", c.list, "/", index, "/envFrom")
	addElements(w, c.received.VolumeMounts != nil, c.mounts.added, "/spec/", c.list, "/", index, "/volumeMounts")
}

// writeContainer writes an injected container: the members of its object, which is never empty,
// and the lists that rules may have extended.
func writeContainer(w *patch, c *container) {
	object := c.injected.JSON
	w.buffer = append(w.buffer, object[:len(object)-1]...)
	writeMember(w, "env", c.env.added)
	writeMember(w, "envFrom", c.envFrom.added)
	writeMember(w, "volumeMounts", c.mounts.added)
	w.buffer = append(w.buffer, '}')
}

// writeMember writes a member of an object unless its list is empty.
func writeMember(w *patch, name string, list []addition) {
	if len(list) == 0 {
		return
	}
	w.buffer = append(append(append(w.buffer, `,"`...), name...), `":`...)
	writeList(w, nil, list, writeElement)
}

// encodePod writes what concerns the pod as a whole. There is always an annotation to add.
func (p *plan) encodePod(w *patch) {
	addElements(w, p.spec.HostAliases != nil, p.hostAliases.added, "/spec/hostAliases")
	addElements(w, p.spec.ImagePullSecrets != nil, p.pullSecrets.added, "/spec/imagePullSecrets")
	addElements(w, p.spec.Tolerations != nil, p.tolerations.added, "/spec/tolerations")
	addPairs(w, p.spec.NodeSelector != nil, p.nodeSelector.added, "/spec/nodeSelector")
	for i, by := range p.host {
		if by != nil {
			w.set(opAdd, "true", "/spec/", hostFields[i])
		}
	}
	metadata := p.object.metadata()
	if p.object.Metadata == nil {
		w.set(opAdd, "{}", "/metadata")
	}
	addPairs(w, metadata.Labels != nil, p.labels.added, "/metadata/labels")
	addPairs(w, metadata.Annotations != nil, p.annotations.added, "/metadata/annotations")
}

// addPairs adds members to an object, or creates the object if it does not exist.
func addPairs(w *patch, exists bool, pairs []addition, path string) {
	if len(pairs) == 0 {
		return
	}
	if exists {
		for _, pair := range pairs {
			w.setString(opAdd, pair.value, path, "/", escape(pair.name))
		}
		return
	}
	w.begin(opAdd, []string{path})
	for i, pair := range pairs {
		w.buffer = append(w.buffer, "{,"[min(i, 1)])
		w.quote(pair.name)
		w.buffer = append(w.buffer, ':')
		w.quote(pair.value)
	}
	w.buffer = append(w.buffer, '}')
	w.end()
}

func addElements(w *patch, exists bool, list []addition, path ...string) {
	addAll(w, exists, nil, list, writeElement, path...)
}

func writeElement(w *patch, a addition) {
	w.buffer = append(w.buffer, a.json.JSON...)
}
