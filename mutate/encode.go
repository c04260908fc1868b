package mutate

import (
	"slices"
	"strconv"

	"k8s-sidecar-injector/conf"
)

// encode writes the plan as a patch. What is taken away comes first, and from the end of
// each list, so that no index moves before it is used.
func (p *plan) encode(policy *Policy, sidecar *conf.Sidecar) []byte {
	w := &patch{buffer: make([]byte, 0, 4096)}
	if p.object.Spec == nil {
		w.set(opAdd, "{}", "/spec")
	}
	p.encodeServiceAccount(w)
	addAll(w, p.spec.Volumes != nil, p.volumes, writeElement, "/spec/volumes")
	received := len(p.containers) - p.injected
	for i := range p.containers[:received] {
		p.containers[i].encodeAdditions(w)
	}
	p.encodeInjected(w, p.spec.InitContainers != nil, initContainersList)
	p.encodeInjected(w, p.spec.Containers != nil, containersList)
	p.encodeHost(w, sidecar)
	p.encodeMetadata(w)
	encodeAnnotations(w, policy, sidecar)
	return w.bytes()
}

// encodeServiceAccount also sets the deprecated alias where there is one: the API server
// keeps the two alike.
func (p *plan) encodeServiceAccount(w *patch) {
	if p.serviceAccount == "" {
		return
	}
	for i := range p.containers {
		p.containers[i].encodeDropped(w)
	}
	for _, at := range slices.Backward(p.dropped) {
		w.remove("/spec/volumes/", strconv.Itoa(at))
	}
	w.begin(opAdd, "/spec/serviceAccountName")
	w.quote(p.serviceAccount)
	w.end()
	if p.spec.ServiceAccount != nil {
		w.begin(opReplace, "/spec/serviceAccount")
		w.quote(p.serviceAccount)
		w.end()
	}
}

// encodeDropped takes away the mounts of a received container that are not to stay.
func (c *container) encodeDropped(w *patch) {
	if !c.dropsToken {
		return
	}
	for _, m := range slices.Backward(c.received.VolumeMounts) {
		if c.drops(&m) {
			w.remove("/spec/", c.list, "/", strconv.Itoa(c.at), "/volumeMounts/", strconv.Itoa(m.at))
		}
	}
}

// encodeAdditions writes what a received container gets.
func (c *container) encodeAdditions(w *patch) {
	at := strconv.Itoa(c.at)
	addAll(w, c.received.Env != nil, c.env, writeElement, "/spec/", c.list, "/", at, "/env")
	addAll(w, c.received.VolumeMounts != nil, c.mounts, writeMount, "/spec/", c.list, "/", at, "/volumeMounts")
}

// encodeInjected writes the injected containers of one list. They stand together in the plan.
func (p *plan) encodeInjected(w *patch, exists bool, list string) {
	injected := p.ours()
	first := 0
	for first < len(injected) && injected[first].list != list {
		first++
	}
	last := first
	for last < len(injected) && injected[last].list == list {
		last++
	}
	addAll(w, exists, injected[first:last], writeContainer, "/spec/", list)
}

// writeContainer appends an injected container: its own JSON, which ends with a brace and is
// never empty, and in it the lists that merging may have added to.
func writeContainer(w *patch, c *container) {
	own := c.injected.JSON
	w.buffer = append(w.buffer, own[:len(own)-1]...)
	writeMember(w, "env", c.injected.Env, c.env, writeElement)
	writeMember(w, "volumeMounts", c.injected.VolumeMounts, c.mounts, writeMount)
	w.buffer = append(w.buffer, '}')
}

// writeMember appends a list of an object's own elements and those added to them.
func writeMember[E any](w *patch, name string, own, added []E, write func(*patch, *E)) {
	if len(own)+len(added) == 0 {
		return
	}
	w.buffer = append(append(append(w.buffer, `,"`...), name...), `":[`...)
	for i := range own {
		write(w, &own[i])
		w.buffer = append(w.buffer, ',')
	}
	for i := range added {
		write(w, &added[i])
		w.buffer = append(w.buffer, ',')
	}
	w.buffer[len(w.buffer)-1] = ']'
}

func (p *plan) encodeHost(w *patch, sidecar *conf.Sidecar) {
	addAll(w, p.spec.HostAliases != nil, sidecar.HostAliases, writeJSON, "/spec/hostAliases")
	if p.hostNetwork {
		w.set(opAdd, "true", "/spec/hostNetwork")
	}
	if p.hostPID {
		w.set(opAdd, "true", "/spec/hostPID")
	}
}
