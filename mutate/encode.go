package mutate

import (
	"slices"
	"strconv"

	"k8s-sidecar-injector/conf"
)

// encode writes the plan as a patch. What is taken away comes first, and from the end of
// each list, so that no index moves before it is used.
func (p *plan) encode() []byte {
	w := &patch{buffer: make([]byte, 0, 4096)}
	if p.object.Spec == nil {
		w.set(opAdd, "{}", "/spec")
	}
	p.encodeServiceAccount(w)
	addAll(w, p.spec.Volumes != nil, nil, p.volumes, writeText, "/spec/volumes")
	received := len(p.containers) - p.injected
	for i := range p.containers[:received] {
		p.containers[i].encodeAdditions(w)
	}
	p.encodeInjected(w, p.spec.InitContainers != nil, initContainersList)
	p.encodeInjected(w, p.spec.Containers != nil, containersList)
	p.encodePod(w)
	p.encodeMetadata(w)
	return w.bytes()
}

// encodeServiceAccount also sets the deprecated alias where there is one: the API server
// keeps the two alike.
func (p *plan) encodeServiceAccount(w *patch) {
	if p.account.name == "" {
		return
	}
	for i := range p.containers {
		p.containers[i].encodeDropped(w)
	}
	for _, at := range slices.Backward(p.dropped) {
		w.remove("/spec/volumes/", strconv.Itoa(at))
	}
	w.begin(opAdd, "/spec/serviceAccountName")
	w.quote(p.account.name)
	w.end()
	if p.spec.ServiceAccount != nil {
		w.begin(opReplace, "/spec/serviceAccount")
		w.quote(p.account.name)
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
	if len(c.env)+len(c.sources)+len(c.mounts) == 0 {
		return
	}
	at := strconv.Itoa(c.at)
	addAll(w, c.received.Env != nil, nil, c.env, writeText, "/spec/", c.list, "/", at, "/env")
	addAll(w, c.received.EnvFrom != nil, c.sources, nil, writeText, "/spec/", c.list, "/", at, "/envFrom")
	addAll(w, c.received.VolumeMounts != nil, nil, c.mounts, writeText, "/spec/", c.list, "/", at, "/volumeMounts")
}

// encodeInjected writes the injected containers of one list.
func (p *plan) encodeInjected(w *patch, exists bool, list string) {
	addAll(w, exists, p.injectedInto(list, true), p.injectedInto(list, false), writeContainer, "/spec/", list)
}

// injectedInto are the injected containers for one place. They stand together in the plan.
func (p *plan) injectedInto(list string, first bool) []container {
	injected := p.ours()
	there := func(c *container) bool { return c.list == list && c.first == first }
	start := 0
	for start < len(injected) && !there(&injected[start]) {
		start++
	}
	end := start
	for end < len(injected) && there(&injected[end]) {
		end++
	}
	return injected[start:end]
}

// writeContainer appends an injected container: its own JSON, which ends with a brace and is
// never empty, and in it the lists that merging may have added to.
func writeContainer(w *patch, c *container) {
	own := c.injected.JSON
	w.buffer = append(w.buffer, own[:len(own)-1]...)
	writeMember(w, "env", c.injected.Env, c.env, writeText)
	writeMember(w, "envFrom", c.sources, c.injected.EnvFrom, writeText)
	writeMember(w, "volumeMounts", c.injected.VolumeMounts, c.mounts, writeText)
	w.buffer = append(w.buffer, '}')
}

// writeMember appends a member with the elements of two lists, if there are any.
func writeMember[E any](w *patch, name string, a, b []E, write func(*patch, *E)) {
	if len(a)+len(b) == 0 {
		return
	}
	w.buffer = append(append(append(w.buffer, `,"`...), name...), `":`...)
	writeList(w, a, b, write)
}

// encodePod writes what concerns the pod as a whole.
func (p *plan) encodePod(w *patch) {
	addAll(w, p.spec.HostAliases != nil, nil, p.hostAliases, writeText, "/spec/hostAliases")
	addAll(w, p.spec.ImagePullSecrets != nil, nil, p.pullSecrets, writeText, "/spec/imagePullSecrets")
	addAll(w, p.spec.Tolerations != nil, nil, p.tolerations, writeText, "/spec/tolerations")
	addPairs(w, p.spec.NodeSelector.present, p.nodeSelector, "/spec/nodeSelector")
	for _, flag := range []struct {
		path string
		by   *conf.Sidecar
	}{
		{"/spec/hostNetwork", p.hostNetwork},
		{"/spec/hostPID", p.hostPID},
		{"/spec/hostIPC", p.hostIPC},
		{"/spec/shareProcessNamespace", p.shareProcesses},
	} {
		if flag.by != nil {
			w.set(opAdd, "true", flag.path)
		}
	}
}

// encodeMetadata writes labels and annotations, of which there always are some.
func (p *plan) encodeMetadata(w *patch) {
	metadata := p.object.metadata()
	if p.object.Metadata == nil {
		w.set(opAdd, "{}", "/metadata")
	}
	addPairs(w, metadata.Labels.present, p.labels, "/metadata/labels")
	addPairs(w, metadata.Annotations.present, p.annotations, "/metadata/annotations")
}

// addOwn notes on the pod that it is done, and with what. The status keeps a second review, such as
// one by reinvocationPolicy IfNeeded, from injecting again.
func (p *plan) addOwn() {
	p.annotations = append(p.annotations,
		pair{Pair: conf.Pair{Key: p.policy.key(injectedKey), Value: Injections(p.sidecars)}},
		pair{Pair: conf.Pair{Key: p.policy.key(statusKey), Value: statusInjected}})
}

// addPairs adds members to a map, which it makes where there is none.
func addPairs(w *patch, exists bool, pairs []pair, path string) {
	if len(pairs) == 0 {
		return
	}
	if exists {
		for i := range pairs {
			w.begin(opAdd, path, "/", escape(pairs[i].Key))
			w.quote(pairs[i].Value)
			w.end()
		}
		return
	}
	w.begin(opAdd, path)
	for i := range pairs {
		w.buffer = append(w.buffer, "{,"[min(i, 1)])
		w.quote(pairs[i].Key)
		w.buffer = append(w.buffer, ':')
		w.quote(pairs[i].Value)
	}
	w.buffer = append(w.buffer, '}')
	w.end()
}
