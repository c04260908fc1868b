package mutate

import (
	"slices"
	"strconv"
	"strings"
)

// encode returns the plan as a JSON Patch. Removals come first, and from the end of each list, so
// that they do not change indexes that later operations use.
func (p *plan) encode() []byte {
	w := &p.patch
	w.buffer = make([]byte, 0, p.size+512)
	if p.object.Spec == nil {
		w.add([]byte("{}"), "/spec")
	}
	p.encodeServiceAccount(w)
	p.lists[volumesList].encodeList(w)
	for _, c := range p.containers[:p.received] {
		c.encodeAdditions(w)
	}
	addAll(w, p.spec.InitContainers != nil, p.prependInitContainers, p.initContainers, writeContainer,
		"/spec/initContainers")
	addAll(w, p.spec.Containers != nil, p.prependContainers, p.appendContainers, writeContainer, "/spec/containers")
	p.encodePod(w)
	return append(w.buffer, ']') // it has at least one operation
}

// encodeServiceAccount also removes the token mounts. It sets the deprecated alias if the pod has it,
// because the API server keeps both equal.
func (p *plan) encodeServiceAccount(w *patch) {
	account := p.scalars[serviceAccountName]
	if account.by == nil {
		return
	}
	for _, c := range p.containers[:p.received] {
		for _, m := range slices.Backward(c.received.VolumeMounts) {
			if p.removes(&m) {
				w.remove("/spec/", c.list, "/", strconv.Itoa(c.index), "/volumeMounts/", strconv.Itoa(m.index))
			}
		}
	}
	for _, index := range slices.Backward(p.removed) {
		w.remove("/spec/volumes/", strconv.Itoa(index))
	}
	w.setString(opAdd, account.Name, "/spec/serviceAccountName")
	if p.spec.ServiceAccount != nil {
		w.setString(opReplace, account.Name, "/spec/serviceAccount")
	}
}

// encodeExtended sets the values of the variables that sidecars extend. The member may exist or not.
func (c *container) encodeExtended(w *patch) {
	if c.variables == nil {
		return
	}
	for _, v := range c.variables.list {
		if v.extended && !v.added {
			w.setString(opAdd, v.value,
				"/spec/", c.list, "/", strconv.Itoa(c.index), "/env/", strconv.Itoa(v.index), "/value")
		}
	}
}

// encodeAdditions adds elements to the lists of a received container. Values come first, because additions
// change indexes.
func (c *container) encodeAdditions(w *patch) {
	c.encodeExtended(w)
	exists := [...]bool{c.received.Env != nil, c.received.EnvFrom != nil, c.received.VolumeMounts != nil}
	for i, l := range containerLists() {
		front, back := c.lists[i].added[:c.lists[i].fronts], c.lists[i].added[c.lists[i].fronts:]
		addAll(w, exists[i], front, back, writeElement, "/spec/", c.list, "/", strconv.Itoa(c.index), "/", l.field)
	}
}

// writeContainer writes an injected container: the members of its object, which is never empty,
// and the lists that rules may have extended.
func writeContainer(w *patch, c *container) {
	object := c.injected.JSON
	w.buffer = append(w.buffer, object[:len(object)-1]...)
	for i, l := range containerLists() {
		if added := c.lists[i].added; len(added) > 0 {
			w.buffer = append(append(append(w.buffer, `,"`...), l.field...), `":`...)
			writeList(w, nil, added, writeElement)
		}
	}
	w.buffer = append(w.buffer, '}')
}

// encodePod writes what concerns the pod as a whole. If the pod has no metadata, there are annotations to add.
func (p *plan) encodePod(w *patch) {
	p.createObject(w, "dnsConfig", p.specDetails.DNSConfig != nil)
	p.createObject(w, "podSecurityContext", p.specDetails.SecurityContext != nil)
	for i := hostAliasesList; i < nodeSelectorMap; i++ {
		p.lists[i].encodeList(w)
	}
	for _, added := range p.lists[securityFields].added {
		w.add(added.JSON, "/spec/securityContext/", added.Name)
	}
	p.lists[nodeSelectorMap].encodeMap(w, "/spec/")
	for _, s := range p.scalars[hostNetwork:] {
		if s.by != nil {
			w.add(s.JSON, "/spec/", s.field)
		}
	}
	p.removePriority(w)
	if p.object.Metadata == nil {
		w.add([]byte("{}"), "/metadata")
	}
	p.lists[labelsMap].encodeMap(w, "/metadata/")
	p.lists[annotationsMap].encodeMap(w, "/metadata/")
}

// removePriority removes what the Priority admission plugin computed for the pod as received, if a sidecar sets the
// class. The plugin runs again after the webhooks. It rejects a priority that is not that of the class, and computes a
// missing one (plugin/pkg/admission/priority).
func (p *plan) removePriority(w *patch) {
	if p.scalars[priorityClassName].by == nil {
		return
	}
	if p.specDetails.Priority != nil {
		w.remove("/spec/priority")
	}
	if p.specDetails.PreemptionPolicy != nil {
		w.remove("/spec/preemptionPolicy")
	}
}

func (l *podList) encodeList(w *patch) {
	if len(l.added) > 0 {
		addAll(w, l.received != nil, nil, l.added, writeElement, "/spec/", pointer(l.field))
	}
}

// pointer returns the JSON pointer to a field of the spec of the pod.
func pointer(field string) string {
	if rest, found := strings.CutPrefix(field, "podSecurityContext"); found {
		field = "securityContext" + rest
	}
	return strings.ReplaceAll(field, ".", "/")
}

// createObject adds an empty object if the pod does not have it, and something is added to it.
func (p *plan) createObject(w *patch, field string, exists bool) {
	isIn := func(l podList) bool { return len(l.added) > 0 && strings.HasPrefix(l.field, field) }
	if !exists && slices.ContainsFunc(p.lists[:], isIn) {
		w.add([]byte("{}"), "/spec/", pointer(field))
	}
}

// encodeMap adds members to an object, or creates the object if it does not exist.
func (l *podList) encodeMap(w *patch, parent string) {
	if len(l.added) == 0 {
		return
	}
	if l.members != nil {
		for _, added := range l.added {
			w.setString(opAdd, added.Value, parent, l.field, "/", escape(added.Name))
		}
		return
	}
	w.begin(opAdd, []string{parent, l.field})
	for i, added := range l.added {
		w.buffer = append(w.buffer, "{,"[min(i, 1)])
		w.quote(added.Name)
		w.buffer = append(w.buffer, ':')
		w.quote(added.Value)
	}
	w.buffer = append(w.buffer, '}')
	w.end()
}

func writeElement(w *patch, a addition) {
	w.buffer = append(w.buffer, a.JSON...)
}
