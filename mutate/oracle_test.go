package mutate_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"k8s-sidecar-injector/mutate"
)

// This is what the documentation promises, written down a second time: over typed pods, one
// rule after the other, without regard to speed. FuzzPod holds the package against it.

// definition is a sidecar as its author writes it.
type definition struct {
	Name                  string                        `json:"name"`
	PrependInitContainers []corev1.Container            `json:"prependInitContainers"`
	InitContainers        []corev1.Container            `json:"initContainers"`
	PrependContainers     []corev1.Container            `json:"prependContainers"`
	Containers            []corev1.Container            `json:"containers"`
	Volumes               []corev1.Volume               `json:"volumes"`
	VolumeMounts          []corev1.VolumeMount          `json:"volumeMounts"`
	Env                   []corev1.EnvVar               `json:"env"`
	EnvFrom               []corev1.EnvFromSource        `json:"envFrom"`
	AppliesTo             map[string][]string           `json:"appliesTo"`
	Labels                map[string]string             `json:"labels"`
	Annotations           map[string]string             `json:"annotations"`
	ImagePullSecrets      []corev1.LocalObjectReference `json:"imagePullSecrets"`
	NodeSelector          map[string]string             `json:"nodeSelector"`
	Tolerations           []corev1.Toleration           `json:"tolerations"`
	HostAliases           []corev1.HostAlias            `json:"hostAliases"`
	HostNetwork           bool                          `json:"hostNetwork"`
	HostPID               bool                          `json:"hostPID"`
	HostIPC               bool                          `json:"hostIPC"`
	ShareProcessNamespace bool                          `json:"shareProcessNamespace"`
	ServiceAccountName    string                        `json:"serviceAccountName"`
	AllowedNamespaces     []string                      `json:"allowedNamespaces"`
	SkipHostNetworkPods   bool                          `json:"skipHostNetworkPods"`
}

const token = "/var/run/secrets/kubernetes.io/serviceaccount"

// expected is what the oracle makes of a pod.
type expected struct {
	reason   mutate.Reason
	pod      *corev1.Pod     // if injected
	dropped  map[string]bool // volumes that were taken away
	account  bool            // the service account was set
	tokens   bool            // mounts at the token path are taken away
	before   map[string]bool // faults that the pod came with, without those of mounts that go
	offset   map[string]int  // how many containers come before the received ones, by list
	received map[string]int  // how many of them there are, by list
	aliases  []corev1.HostAlias
	alone    bool // a sidecar does not want hostNetwork
	conflict bool // two sidecars, or a sidecar and the pod, want different things
	shares   bool // a sidecar shares processes that the pod does not
	sees     bool // a sidecar sees the processes of the node, and the pod does not
}

// expect decides about a pod in namespace default, which may have a default of its own, when the
// snapshot has these sidecars.
func expect(object []byte, namespace *string, all []*definition, digests map[string]string) (*expected, error) {
	pod := new(corev1.Pod)
	if err := json.Unmarshal(object, pod); err != nil {
		return nil, err
	}
	asked, reason := expectReason(pod, namespace, all)
	if reason != mutate.ReasonInjected && reason != mutate.ReasonNamespaceDefault {
		return &expected{reason: reason}, nil
	}
	e := &expected{reason: reason, pod: pod.DeepCopy(), dropped: map[string]bool{}, offset: map[string]int{}}
	e.merge(asked, nulls(object))
	var injected []string
	for _, d := range asked {
		injected = append(injected, d.Name+"@"+digests[d.Name])
	}
	if e.pod.Annotations == nil {
		e.pod.Annotations = make(map[string]string)
	}
	e.pod.Annotations["injector.tumblr.com/status"] = "injected"
	e.pod.Annotations["injector.tumblr.com/injected"] = strings.Join(injected, ",")
	for fault := range e.faults() {
		e.conflict = e.conflict || !e.before[fault]
	}
	if e.conflict {
		return &expected{reason: mutate.ReasonConflict}, nil
	}
	return e, nil
}

// expectReason gives the sidecars that the pod asks for, or why it gets none.
func expectReason(pod *corev1.Pod, namespace *string, all []*definition) ([]*definition, mutate.Reason) {
	request, asked := pod.Annotations["injector.tumblr.com/request"]
	met := mutate.ReasonInjected
	if !asked && namespace != nil {
		request, asked, met = *namespace, true, mutate.ReasonNamespaceDefault
	}
	request = strings.ToLower(strings.TrimSpace(request))
	status := strings.ToLower(strings.TrimSpace(pod.Annotations["injector.tumblr.com/status"]))
	_, mirror := pod.Annotations["kubernetes.io/config.mirror"]
	switch {
	case mirror:
		return nil, mutate.ReasonMirrorPod
	case status == "injected":
		return nil, mutate.ReasonAlreadyInjected
	case !asked:
		return nil, mutate.ReasonNoAnnotation
	case request == "", request == "none":
		return nil, mutate.ReasonOptedOut
	}
	found, reason := expectFound(strings.Split(request, ","), all)
	for _, d := range found {
		if reason == "" && d.AllowedNamespaces != nil && !slices.Contains(d.AllowedNamespaces, "default") {
			reason = mutate.ReasonNotAllowed
		}
	}
	for _, d := range found {
		if reason == "" && d.SkipHostNetworkPods && pod.Spec.HostNetwork {
			reason = mutate.ReasonHostNetwork
		}
	}
	return found, cmp.Or(reason, met)
}

func expectFound(refs []string, all []*definition) (found []*definition, reason mutate.Reason) {
	for _, ref := range refs {
		ref = strings.TrimSpace(ref)
		if ref == "" || ref == "none" || strings.ContainsAny(ref, " !") {
			return nil, mutate.ReasonBadRequest
		}
		if !strings.Contains(ref, ":") {
			ref += ":latest"
		}
		at := slices.IndexFunc(all, func(d *definition) bool { return d.Name == ref })
		if at < 0 {
			reason = mutate.ReasonUnknownSidecar
		} else if !slices.Contains(found, all[at]) {
			found = append(found, all[at])
		}
	}
	return found, reason
}

// nulls are the containers that are null: nothing can be added to them.
func nulls(object []byte) map[string]bool {
	var pod struct {
		Spec struct {
			Containers, InitContainers []*json.RawMessage
		}
	}
	found := make(map[string]bool)
	if json.Unmarshal(object, &pod) != nil {
		return found
	}
	for i, c := range pod.Spec.Containers {
		found[place("containers", i)] = c == nil
	}
	for i, c := range pod.Spec.InitContainers {
		found[place("initContainers", i)] = c == nil
	}
	return found
}

func place(list string, i int) string {
	return fmt.Sprintf("%s[%d]", list, i)
}

// merge follows the table of rules.
func (e *expected) merge(asked []*definition, null map[string]bool) {
	spec := &e.pod.Spec
	e.setAccount(asked)
	e.before = e.faults()
	own := slices.Clone(spec.Containers)
	received := slices.Clone(spec.Volumes)
	e.addContainers(asked)
	for _, d := range asked {
		for _, v := range d.Volumes {
			add(e, &spec.Volumes, v, received, func(v corev1.Volume) string { return v.Name })
		}
	}
	for _, d := range asked {
		e.each(func(at string, c *corev1.Container) {
			if !null[at] && e.applies(d, at, c.Name) {
				addTo(c, d)
			}
		})
	}
	e.dropVolumes(len(received))
	for _, d := range asked {
		e.mergePod(d)
	}
	e.setDefaultContainer(asked, own)
}

// add adds an element unless it is there: one that the pod has wins, one of another sidecar must
// be the same.
func add[E any](e *expected, list *[]E, next E, received []E, name func(E) string) {
	same := func(other E) bool { return name(other) == name(next) }
	if slices.ContainsFunc(received, same) {
		return
	}
	if at := slices.IndexFunc(*list, same); at >= 0 {
		e.conflict = e.conflict || !equality.Semantic.DeepEqual((*list)[at], next)
		return
	}
	*list = append(*list, next)
}

func (e *expected) setAccount(asked []*definition) {
	spec := &e.pod.Spec
	account := cmp.Or(spec.ServiceAccountName, spec.DeprecatedServiceAccount, "default")
	for _, d := range asked {
		if d.ServiceAccountName == "" || d.ServiceAccountName == "default" || account != "default" {
			continue
		}
		if e.account && spec.ServiceAccountName != d.ServiceAccountName {
			e.conflict = true
		}
		e.account = true
		spec.ServiceAccountName = d.ServiceAccountName
	}
	if e.account && (spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken) {
		e.dropTokens()
	}
}

// addContainers builds the four lists that are added, and puts them around the pod's own.
func (e *expected) addContainers(asked []*definition) {
	spec := &e.pod.Spec
	var lists [4][]corev1.Container
	for _, d := range asked {
		for i, list := range [][]corev1.Container{d.PrependInitContainers, d.InitContainers, d.PrependContainers, d.Containers} {
			for _, c := range list {
				for j := range lists {
					elsewhere := j != i && slices.ContainsFunc(lists[j], func(other corev1.Container) bool { return other.Name == c.Name })
					e.conflict = e.conflict || elsewhere
				}
				add(e, &lists[i], *c.DeepCopy(), nil, func(c corev1.Container) string { return c.Name })
			}
		}
	}
	spec.InitContainers = slices.Concat(lists[0], spec.InitContainers, lists[1])
	spec.Containers = slices.Concat(lists[2], spec.Containers, lists[3])
	e.offset = map[string]int{"initContainers": len(lists[0]), "containers": len(lists[2])}
	e.received = map[string]int{
		"initContainers": len(spec.InitContainers) - len(lists[0]) - len(lists[1]),
		"containers":     len(spec.Containers) - len(lists[2]) - len(lists[3]),
	}
}

// applies tells whether a container gets env and mounts of a sidecar.
func (e *expected) applies(d *definition, at, name string) bool {
	list, number, _ := strings.Cut(strings.TrimSuffix(at, "]"), "[")
	i, _ := strconv.Atoi(number)
	patterns, restricted := d.AppliesTo[list]
	if injected := i < 0 || i >= e.received[list]; injected || !restricted {
		return true
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return name == pattern || open && strings.HasPrefix(name, prefix)
	})
}

// mergePod adds what is not in a container.
func (e *expected) mergePod(d *definition) {
	spec := &e.pod.Spec
	overlay(&e.pod.Labels, d.Labels)
	overlay(&e.pod.Annotations, d.Annotations)
	for key, value := range d.NodeSelector {
		has, found := spec.NodeSelector[key]
		e.conflict = e.conflict || found && has != value
	}
	overlay(&spec.NodeSelector, d.NodeSelector)
	for _, secret := range d.ImagePullSecrets {
		if !slices.Contains(spec.ImagePullSecrets, secret) {
			spec.ImagePullSecrets = append(spec.ImagePullSecrets, secret)
		}
	}
	for _, t := range d.Tolerations {
		if !slices.ContainsFunc(spec.Tolerations, func(has corev1.Toleration) bool { return tolerated(has) == tolerated(t) }) {
			spec.Tolerations = append(spec.Tolerations, t)
		}
	}
	for _, alias := range d.HostAliases {
		earlier := slices.ContainsFunc(e.aliases, func(has corev1.HostAlias) bool { return equality.Semantic.DeepEqual(has, alias) })
		if !earlier {
			e.aliases = append(e.aliases, alias)
			spec.HostAliases = append(spec.HostAliases, alias)
		}
	}
	spec.HostNetwork = spec.HostNetwork || d.HostNetwork
	e.sees = e.sees || d.HostPID && !spec.HostPID
	spec.HostPID = spec.HostPID || d.HostPID
	spec.HostIPC = spec.HostIPC || d.HostIPC
	if d.ShareProcessNamespace {
		shared := spec.ShareProcessNamespace
		e.conflict = e.conflict || shared != nil && !*shared
		e.shares = e.shares || shared == nil
		spec.ShareProcessNamespace = new(true)
	}
	e.conflict = e.conflict || e.sees && e.shares
	e.alone = e.alone || d.SkipHostNetworkPods
}

func tolerated(t corev1.Toleration) string {
	return fmt.Sprint(t.Key, cmp.Or(t.Operator, corev1.TolerationOpEqual), t.Value, t.Effect)
}

func overlay(target *map[string]string, added map[string]string) {
	for key, value := range added {
		if _, found := (*target)[key]; !found {
			if *target == nil {
				*target = make(map[string]string)
			}
			(*target)[key] = value
		}
	}
}

// setDefaultContainer is for kubectl.
func (e *expected) setDefaultContainer(asked []*definition, own []corev1.Container) {
	const key = "kubectl.kubernetes.io/default-container"
	prepends := slices.ContainsFunc(asked, func(d *definition) bool { return len(d.PrependContainers) > 0 })
	named := slices.IndexFunc(own, func(c corev1.Container) bool { return c.Name != "" })
	if prepends && named >= 0 {
		overlay(&e.pod.Annotations, map[string]string{key: own[named].Name})
	}
}

// each visits the containers of both lists. Received ones have the number that they came with.
func (e *expected) each(visit func(at string, c *corev1.Container)) {
	spec := &e.pod.Spec
	for i := range spec.InitContainers {
		visit(place("initContainers", i-e.offset["initContainers"]), &spec.InitContainers[i])
	}
	for i := range spec.Containers {
		visit(place("containers", i-e.offset["containers"]), &spec.Containers[i])
	}
}

func hasVolume(spec *corev1.PodSpec, name string) bool {
	for _, v := range spec.Volumes {
		if v.Name == name {
			return true
		}
	}
	return false
}

// addTo gives one container env, its sources and mounts.
func addTo(c *corev1.Container, d *definition) {
	for _, e := range d.Env {
		present := false
		for _, own := range c.Env {
			present = present || own.Name == e.Name
		}
		if !present {
			c.Env = append(c.Env, e)
		}
	}
	var sources []corev1.EnvFromSource
	for _, source := range d.EnvFrom {
		same := func(own corev1.EnvFromSource) bool { return sourceText(own) == sourceText(source) }
		if !slices.ContainsFunc(c.EnvFrom, same) {
			sources = append(sources, source)
		}
	}
	c.EnvFrom = append(sources, c.EnvFrom...)
	for _, m := range d.VolumeMounts {
		present := false
		for _, own := range c.VolumeMounts {
			present = present || own.Name == m.Name || clean(own.MountPath) == clean(m.MountPath)
		}
		for _, own := range c.VolumeDevices {
			present = present || own.Name == m.Name || clean(own.DevicePath) == clean(m.MountPath)
		}
		if !present {
			c.VolumeMounts = append(c.VolumeMounts, m)
		}
	}
}

func sourceText(s corev1.EnvFromSource) string {
	text := s.Prefix + "/"
	if s.ConfigMapRef != nil {
		text += "configmap " + s.ConfigMapRef.Name
	}
	if s.SecretRef != nil {
		text += "secret " + s.SecretRef.Name
	}
	return text
}

func clean(path string) string {
	return strings.TrimRight(path, "/")
}

// dropTokens takes away what the API server mounted for the default account.
func (e *expected) dropTokens() {
	e.tokens = true
	e.each(func(_ string, c *corev1.Container) {
		var kept []corev1.VolumeMount
		for _, m := range c.VolumeMounts {
			if m.MountPath == token {
				e.dropped[m.Name] = true
			} else {
				kept = append(kept, m)
			}
		}
		c.VolumeMounts = kept
	})
}

// dropVolumes takes away the received volumes of those mounts, unless they are in use.
func (e *expected) dropVolumes(received int) {
	e.each(func(_ string, c *corev1.Container) {
		for _, m := range c.VolumeMounts {
			delete(e.dropped, m.Name)
		}
		for _, d := range c.VolumeDevices {
			delete(e.dropped, d.Name)
		}
	})
	var kept []corev1.Volume
	for i, v := range e.pod.Spec.Volumes {
		if i >= received || !e.dropped[v.Name] {
			kept = append(kept, v)
		}
	}
	e.pod.Spec.Volumes = kept
}

// faults lists what the API server would refuse a pod for, as far as an injection can cause
// it, plus containers that want one port of the node at the same time.
func (e *expected) faults() map[string]bool {
	spec := &e.pod.Spec
	found := make(map[string]bool)
	names := make(map[string]bool)
	e.each(func(at string, c *corev1.Container) {
		if names[c.Name] {
			found[at+" has a name that is taken"] = true
		}
		names[c.Name] = true
		mountFaults(found, spec, at, c)
	})
	e.portFaults(found)
	e.nodeFaults(found)
	return found
}

func mountFaults(found map[string]bool, spec *corev1.PodSpec, at string, c *corev1.Container) {
	paths, mounts := make(map[string]bool), make(map[string]bool)
	check := func(name, path string) {
		if !hasVolume(spec, name) {
			found[at+" mounts missing volume "+name] = true
		}
		if paths[clean(path)] {
			found[at+" has twice "+clean(path)] = true
		}
		paths[clean(path)] = true
	}
	for _, m := range c.VolumeMounts {
		check(m.Name, m.MountPath)
		mounts[m.Name] = true
	}
	for _, d := range c.VolumeDevices {
		check(d.Name, d.DevicePath)
		if mounts[d.Name] {
			found[at+" has as mount and device "+d.Name] = true
		}
	}
}

// wantedPort is one port of the node that a container wants.
type wantedPort struct {
	at       string
	alone    bool // an init container that ends before the others begin
	port     int32
	protocol corev1.Protocol
	ip       string
}

func (e *expected) portFaults(found map[string]bool) {
	all := e.wantedPorts(found)
	for i, a := range all {
		for j, b := range all[:i] {
			same := a.port != 0 && a.port == b.port && a.protocol == b.protocol && a.ip == b.ip
			if same && (a.at == b.at || !a.alone && !b.alone) {
				found[fmt.Sprintf("%s and %s want port %d (%d of %d)", a.at, b.at, a.port, count(all[:i], a.at), count(all[:j], b.at))] = true
			}
		}
	}
}

// wantedPorts also finds the ports whose number on the node would be another.
func (e *expected) wantedPorts(found map[string]bool) []wantedPort {
	var all []wantedPort
	spec := &e.pod.Spec
	init := len(spec.InitContainers)
	e.each(func(at string, c *corev1.Container) {
		init--
		native := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		alone := init >= 0 && !native
		for i, p := range c.Ports {
			w := wantedPort{at: at, alone: alone, port: p.HostPort, protocol: cmp.Or(p.Protocol, corev1.ProtocolTCP), ip: p.HostIP}
			if spec.HostNetwork && p.HostPort == 0 {
				w.port = p.ContainerPort
			}
			if spec.HostNetwork && w.port != p.ContainerPort && !alone {
				found[fmt.Sprintf("%s.ports[%d] is another port of the node", at, i)] = true
			}
			all = append(all, w)
		}
	})
	return all
}

// count tells the how-manieth port of a container it is.
func count(earlier []wantedPort, at string) int {
	n := 0
	for _, w := range earlier {
		if w.at == at {
			n++
		}
	}
	return n
}

func (e *expected) nodeFaults(found map[string]bool) {
	if e.alone && e.pod.Spec.HostNetwork {
		found["hostNetwork where it is not wanted"] = true
	}
}
