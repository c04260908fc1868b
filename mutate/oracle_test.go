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

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
)

// The oracle is a second, plain implementation of the documentation over typed pods. FuzzPod
// compares the package with it.

// definition is a sidecar definition with typed fields.
type definition struct {
	Name                  string                            `json:"name"`
	PrependInitContainers []corev1.Container                `json:"prependInitContainers"`
	InitContainers        []corev1.Container                `json:"initContainers"`
	PrependContainers     []corev1.Container                `json:"prependContainers"`
	Containers            []corev1.Container                `json:"containers"`
	Volumes               []corev1.Volume                   `json:"volumes"`
	VolumeMounts          []corev1.VolumeMount              `json:"volumeMounts"`
	PrependEnv            []corev1.EnvVar                   `json:"prependEnv"`
	Env                   []corev1.EnvVar                   `json:"env"`
	ExtendEnv             []map[string]string               `json:"extendEnv"`
	EnvFrom               []corev1.EnvFromSource            `json:"envFrom"`
	AppliesTo             appliesTo                         `json:"appliesTo"`
	CopyFrom              []conf.CopyFrom                   `json:"copyFrom"`
	Labels                map[string]string                 `json:"labels"`
	Annotations           map[string]string                 `json:"annotations"`
	ExtendAnnotations     map[string]string                 `json:"extendAnnotations"`
	ImagePullSecrets      []corev1.LocalObjectReference     `json:"imagePullSecrets"`
	NodeSelector          map[string]string                 `json:"nodeSelector"`
	Tolerations           []corev1.Toleration               `json:"tolerations"`
	HostAliases           []corev1.HostAlias                `json:"hostAliases"`
	TopologySpread        []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints"`
	HostNetwork           bool                              `json:"hostNetwork"`
	HostPID               bool                              `json:"hostPID"`
	HostIPC               bool                              `json:"hostIPC"`
	ShareProcessNamespace bool                              `json:"shareProcessNamespace"`
	ServiceAccountName    string                            `json:"serviceAccountName"`
	PriorityClassName     string                            `json:"priorityClassName"`
	RuntimeClassName      string                            `json:"runtimeClassName"`
	Affinity              *corev1.Affinity                  `json:"affinity"`
	DNSConfig             *corev1.PodDNSConfig              `json:"dnsConfig"`
	PodSecurityContext    *corev1.PodSecurityContext        `json:"podSecurityContext"`
	GracePeriod           *int64                            `json:"terminationGracePeriodSeconds"`
	AllowedNamespaces     []string                          `json:"allowedNamespaces"`
	SkipHostNetworkPods   bool                              `json:"skipHostNetworkPods"`
	OS                    string                            `json:"os"`
	InJobs                string                            `json:"inJobs"`
}

// appliesTo selects containers. Nil fields select all.
type appliesTo struct {
	Containers     []string `json:"containers"`
	InitContainers []string `json:"initContainers"`
	Sidecars       []string `json:"sidecars"`
	Own            *bool    `json:"own"`
}

const token = "/var/run/secrets/kubernetes.io/serviceaccount"

// expected is the result of the oracle for a pod.
type expected struct {
	reason   mutate.Reason
	pod      *corev1.Pod     // if injected
	sidecars []*definition   // if injected
	dropped  map[string]bool // removed volumes
	account  bool            // a sidecar sets the service account
	tokens   bool            // mounts at the token path are removed
	priority bool            // a sidecar sets the priority class
	before   map[string]bool // faults of the pod as received, without the removed mounts
	offset   map[string]int  // number of prepended containers, by list
	received map[string]int  // number of received containers, by list
	aliases  []corev1.HostAlias
	extends  bool // values of variables may change
	words    bool // words are appended to annotations
	alone    bool // a sidecar skips pods with hostNetwork
	conflict bool // sidecars and pod want different values
	shares   bool // a sidecar sets shareProcessNamespace, and the pod does not
	hostPID  bool // a sidecar sets hostPID, and the pod does not
}

// expect decides about a pod in namespace default with a snapshot of these sidecars. The namespace
// may have a default.
func expect(object []byte, namespace *string, all []*definition, digests map[string]string) (*expected, error) {
	pod := new(corev1.Pod)
	if err := json.Unmarshal(object, pod); err != nil {
		return nil, err
	}
	requested, reason := expectRequest(pod, namespace, all)
	if reason != mutate.ReasonInjected && reason != mutate.ReasonNamespaceDefault {
		return &expected{reason: reason}, nil
	}
	if isJob(pod) {
		for i, d := range requested {
			requested[i] = asNative(d)
		}
	}
	e := &expected{
		reason: reason, pod: pod.DeepCopy(), sidecars: requested, dropped: map[string]bool{}, offset: map[string]int{},
	}
	e.merge(requested, nullContainers(object))
	var injected []string
	for _, d := range requested {
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

// expectRequest returns the requested sidecars, or the reason for not injecting any.
func expectRequest(pod *corev1.Pod, namespace *string, all []*definition) ([]*definition, mutate.Reason) {
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
	found, reason := expectSidecars(strings.Split(request, ","), all)
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
	os := pod.Spec.NodeSelector["kubernetes.io/os"]
	if pod.Spec.OS != nil && pod.Spec.OS.Name != "" {
		os = string(pod.Spec.OS.Name)
	}
	for _, d := range found {
		if reason == "" && os != "" && d.OS != "any" && os != cmp.Or(d.OS, "linux") {
			reason = mutate.ReasonOtherOS
		}
	}
	for _, d := range found {
		if reason == "" && isJob(pod) && d.InJobs == "skip" {
			reason = mutate.ReasonJob
		}
	}
	if reason == "" && met == mutate.ReasonNamespaceDefault && slices.ContainsFunc(found, hasContainersOf(pod)) {
		reason = mutate.ReasonAlreadyInjected
	}
	return found, cmp.Or(reason, met)
}

func isJob(pod *corev1.Pod) bool {
	return pod.Spec.RestartPolicy == "OnFailure" || pod.Spec.RestartPolicy == "Never"
}

// asNative returns the definition with its containers in the lists of init containers.
func asNative(d *definition) *definition {
	if d.InJobs != "native" {
		return d
	}
	native := *d
	native.PrependInitContainers = slices.Clone(d.PrependInitContainers)
	for _, c := range d.PrependContainers {
		c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		native.PrependInitContainers = append(native.PrependInitContainers, c)
	}
	native.InitContainers = slices.Clone(d.InitContainers)
	for _, c := range d.Containers {
		c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		native.InitContainers = append(native.InitContainers, c)
	}
	native.PrependContainers, native.Containers, native.InJobs = nil, nil, ""
	return &native
}

// hasContainersOf returns a function that reports whether the pod has all containers of a sidecar.
func hasContainersOf(pod *corev1.Pod) func(*definition) bool {
	return func(d *definition) bool {
		received, wanted := pod.Spec.Containers, append(slices.Clone(d.PrependContainers), d.Containers...)
		if len(wanted) == 0 {
			received = pod.Spec.InitContainers
			wanted = append(slices.Clone(d.PrependInitContainers), d.InitContainers...)
		}
		missing := func(w corev1.Container) bool {
			return !slices.ContainsFunc(received, func(c corev1.Container) bool { return c.Name == w.Name })
		}
		native := d.InJobs == "native" && hasContainersOf(pod)(asNative(d))
		return native || len(wanted) > 0 && !slices.ContainsFunc(wanted, missing)
	}
}

func expectSidecars(refs []string, all []*definition) (found []*definition, reason mutate.Reason) {
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

// nullContainers returns the containers that are null, to which nothing can be added.
func nullContainers(object []byte) map[string]bool {
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
		found[indexedName("containers", i)] = c == nil
	}
	for i, c := range pod.Spec.InitContainers {
		found[indexedName("initContainers", i)] = c == nil
	}
	return found
}

func indexedName(list string, i int) string {
	return fmt.Sprintf("%s[%d]", list, i)
}

// merge applies the rules of the fields in docs/format.
func (e *expected) merge(requested []*definition, null map[string]bool) {
	spec := &e.pod.Spec
	e.setAccount(requested)
	e.before = e.faults()
	own, ownInit := slices.Clone(spec.Containers), slices.Clone(spec.InitContainers)
	received := slices.Clone(spec.Volumes)
	e.addContainers(requested)
	for _, d := range requested {
		for _, v := range d.Volumes {
			add(e, &spec.Volumes, v, received, func(v corev1.Volume) string { return v.Name })
		}
	}
	e.copyAll(requested, notNull(own, "containers", null), notNull(ownInit, "initContainers", null))
	fronts := make(map[string][]corev1.EnvVar)
	for _, d := range requested {
		e.each(func(at string, c *corev1.Container) {
			if !null[at] && e.applies(requested, d, at, c.Name) {
				fronts[at] = addVariables(c, d, fronts[at])
				addTo(c, d)
			}
		})
	}
	e.each(func(at string, c *corev1.Container) { c.Env = append(fronts[at], c.Env...) })
	for _, d := range requested {
		e.each(func(at string, c *corev1.Container) {
			if !null[at] && e.applies(requested, d, at, c.Name) {
				e.extends = e.extends || len(d.ExtendEnv) > 0
				extendVariables(c, d)
			}
		})
	}
	e.dropVolumes(len(received))
	for _, d := range requested {
		e.mergePod(d)
	}
	e.setClasses(requested)
	e.setAffinity(requested)
	e.mergeDNS(requested)
	e.mergeSecurity(requested)
	for _, d := range requested {
		e.extendAnnotations(d)
	}
	e.setDefaultContainer(requested, own)
}

// notNull returns the containers of a list that are not null.
func notNull(containers []corev1.Container, list string, null map[string]bool) (found []corev1.Container) {
	for i, c := range containers {
		if !null[indexedName(list, i)] {
			found = append(found, c)
		}
	}
	return found
}

// complete returns the pod after the review of an injected pod to which another webhook appended a container, and
// reports whether the review changes it.
func (e *expected) complete(list string, late *corev1.Container) (pod *corev1.Pod, changed bool) {
	pod = e.pod.DeepCopy()
	target := &pod.Spec.Containers
	if list == "initContainers" {
		target = &pod.Spec.InitContainers
	}
	before, after := late.DeepCopy(), late.DeepCopy()
	applying := slices.DeleteFunc(slices.Clone(e.sidecars), func(d *definition) bool {
		return !d.appliesToReceived(list, late.Name)
	})
	var front []corev1.EnvVar
	for _, d := range applying {
		front = addVariables(after, d, front)
		addTo(after, d)
	}
	after.Env = append(front, after.Env...)
	for _, d := range applying {
		extendVariables(after, d.withoutTextsOf(late))
	}
	faultsBefore, faultsAfter := make(map[string]bool), make(map[string]bool)
	mountFaults(faultsBefore, &pod.Spec, list, before)
	mountFaults(faultsAfter, &pod.Spec, list, after)
	changed = len(faultsBefore) == len(faultsAfter) && !equality.Semantic.DeepEqual(before, after)
	if !changed {
		after = before
	}
	*target = append(*target, *after)
	return pod, changed
}

// withoutTextsOf returns the definition without the texts of extendEnv that variables of the container have.
func (d *definition) withoutTextsOf(c *corev1.Container) *definition {
	fewer := *d
	fewer.ExtendEnv = slices.DeleteFunc(slices.Clone(d.ExtendEnv), func(e map[string]string) bool {
		return slices.ContainsFunc(c.Env, func(own corev1.EnvVar) bool {
			return own.Name == e["name"] && strings.Contains(own.Value, e["value"])
		})
	})
	return &fewer
}

// add adds an element. The pod keeps its own element of that name, and one of another sidecar must be
// equal.
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

func (e *expected) setAccount(requested []*definition) {
	spec := &e.pod.Spec
	account := cmp.Or(spec.ServiceAccountName, spec.DeprecatedServiceAccount, "default")
	for _, d := range requested {
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

// setClasses also removes the priority, which the API server computes again.
func (e *expected) setClasses(requested []*definition) {
	spec := &e.pod.Spec
	priority := func(d *definition) string { return d.PriorityClassName }
	if e.priority = e.setMissing(&spec.PriorityClassName, requested, priority); e.priority {
		spec.Priority, spec.PreemptionPolicy = nil, nil
	}
	var runtime string
	if spec.RuntimeClassName != nil {
		runtime = *spec.RuntimeClassName
	}
	if e.setMissing(&runtime, requested, func(d *definition) string { return d.RuntimeClassName }) {
		spec.RuntimeClassName = &runtime
	}
}

func (e *expected) setAffinity(requested []*definition) {
	none := new(corev1.Affinity)
	if own := e.pod.Spec.Affinity; own != nil && *own != *none {
		return
	}
	var first *corev1.Affinity
	for _, d := range requested {
		if d.Affinity == nil || *d.Affinity == *none {
			continue
		}
		first = cmp.Or(first, d.Affinity)
		e.conflict = e.conflict || !equality.Semantic.DeepEqual(first, d.Affinity)
		e.pod.Spec.Affinity = first
	}
}

func (e *expected) mergeDNS(requested []*definition) {
	dns := new(corev1.PodDNSConfig)
	if e.pod.Spec.DNSConfig != nil {
		dns = e.pod.Spec.DNSConfig.DeepCopy()
	}
	received := dns.DeepCopy()
	optionName := func(o corev1.PodDNSConfigOption) string { return o.Name }
	for _, d := range requested {
		if d.DNSConfig == nil {
			continue
		}
		appendMissing(&dns.Nameservers, d.DNSConfig.Nameservers)
		appendMissing(&dns.Searches, d.DNSConfig.Searches)
		for _, option := range d.DNSConfig.Options {
			add(e, &dns.Options, option, received.Options, optionName)
		}
	}
	grown := len(dns.Nameservers) > len(received.Nameservers)
	e.conflict = e.conflict || grown && len(dns.Nameservers) > 3
	if !equality.Semantic.DeepEqual(dns, received) {
		e.pod.Spec.DNSConfig = dns
	}
}

// mergeSecurity knows the fields that are generated.
func (e *expected) mergeSecurity(requested []*definition) {
	security := new(corev1.PodSecurityContext)
	if e.pod.Spec.SecurityContext != nil {
		security = e.pod.Spec.SecurityContext.DeepCopy()
	}
	received := security.DeepCopy()
	sysctlName := func(s corev1.Sysctl) string { return s.Name }
	for _, d := range requested {
		wanted := d.PodSecurityContext
		if wanted == nil {
			continue
		}
		setField(e, &security.RunAsUser, wanted.RunAsUser, received.RunAsUser)
		setField(e, &security.RunAsNonRoot, wanted.RunAsNonRoot, received.RunAsNonRoot)
		setField(e, &security.SeccompProfile, wanted.SeccompProfile, received.SeccompProfile)
		setField(e, &security.FSGroup, wanted.FSGroup, received.FSGroup)
		e.conflict = e.conflict || wanted.FSGroup != nil && *security.FSGroup != *wanted.FSGroup
		appendMissing(&security.SupplementalGroups, wanted.SupplementalGroups)
		for _, sysctl := range wanted.Sysctls {
			add(e, &security.Sysctls, sysctl, received.Sysctls, sysctlName)
		}
	}
	if !equality.Semantic.DeepEqual(security, received) {
		e.pod.Spec.SecurityContext = security
	}
}

// setField sets a field that the pod does not have. Two sidecars must not have different values.
func setField[T any](e *expected, target **T, wanted, received *T) {
	if wanted == nil || received != nil {
		return
	}
	e.conflict = e.conflict || *target != nil && !equality.Semantic.DeepEqual(*target, wanted)
	*target = wanted
}

func appendMissing[E comparable](list *[]E, elements []E) {
	for _, element := range elements {
		if !slices.Contains(*list, element) {
			*list = append(*list, element)
		}
	}
}

// setMissing sets a field that the pod does not have, for which two sidecars must not have different values.
func (e *expected) setMissing(target *string, requested []*definition, wanted func(*definition) string) bool {
	if *target != "" {
		return false
	}
	for _, d := range requested {
		e.conflict = e.conflict || *target != "" && wanted(d) != "" && *target != wanted(d)
		*target = cmp.Or(*target, wanted(d))
	}
	return *target != ""
}

// addContainers builds the four lists and puts them around the containers of the pod.
func (e *expected) addContainers(requested []*definition) {
	spec := &e.pod.Spec
	var lists [4][]corev1.Container
	for _, d := range requested {
		for i, list := range [][]corev1.Container{
			d.PrependInitContainers, d.InitContainers, d.PrependContainers, d.Containers,
		} {
			for _, c := range list {
				for j := range lists {
					sameName := func(other corev1.Container) bool { return other.Name == c.Name }
					e.conflict = e.conflict || j != i && slices.ContainsFunc(lists[j], sameName)
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

// applies reports whether a container gets env and mounts of a sidecar.
func (e *expected) applies(requested []*definition, d *definition, at, name string) bool {
	if e.injects(at) {
		return slices.ContainsFunc(requested, func(owner *definition) bool {
			return slices.Contains(owner.containerNames(), name) && d.appliesToThoseOf(owner)
		})
	}
	return d.appliesToReceived(at, name)
}

// appliesToReceived reports whether a container of the pod gets env and mounts.
func (d *definition) appliesToReceived(at, name string) bool {
	patterns := d.AppliesTo.Containers
	if strings.HasPrefix(at, "initContainers") {
		patterns = d.AppliesTo.InitContainers
	}
	return patterns == nil || slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return name == pattern || open && strings.HasPrefix(name, prefix)
	})
}

// containerNames returns the names of the containers of all four lists.
func (d *definition) containerNames() []string {
	var names []string
	for _, c := range slices.Concat(d.PrependInitContainers, d.InitContainers, d.PrependContainers, d.Containers) {
		names = append(names, c.Name)
	}
	return names
}

// appliesToThoseOf reports whether the containers of a sidecar, which may be d itself, get env and mounts of d.
func (d *definition) appliesToThoseOf(owner *definition) bool {
	if owner == d {
		return d.AppliesTo.Own == nil || *d.AppliesTo.Own
	}
	name, _, _ := strings.Cut(owner.Name, ":")
	return d.AppliesTo.Sidecars == nil || slices.Contains(d.AppliesTo.Sidecars, name)
}

// copyAll applies copyFrom. The containers are those of the pod as received.
func (e *expected) copyAll(requested []*definition, own, ownInit []corev1.Container) {
	for _, d := range requested {
		copied := make(map[string]bool) // container and volume
		for _, entry := range d.CopyFrom {
			source := slices.IndexFunc(own, func(c corev1.Container) bool { return entry.From == "" || c.Name == entry.From })
			from := append(slices.Clone(own), ownInit...)
			if source < 0 && entry.From != "" {
				source = slices.IndexFunc(from, func(c corev1.Container) bool { return c.Name == entry.From })
			}
			if source < 0 {
				continue
			}
			e.each(func(at string, c *corev1.Container) {
				wanted := entry.Container == c.Name || entry.Container == "" && slices.Contains(d.containerNames(), c.Name)
				if e.injects(at) && wanted {
					copyEnv(c, &from[source], entry.Env)
					copyMounts(c, &from[source], entry.VolumeMounts, at, copied)
				}
			})
		}
	}
}

// injects reports whether a container is not one of the pod as received.
func (e *expected) injects(at string) bool {
	list, number, _ := strings.Cut(strings.TrimSuffix(at, "]"), "[")
	i, _ := strconv.Atoi(number)
	return i < 0 || i >= e.received[list]
}

// copyEnv copies the last variable of each name.
func copyEnv(c, from *corev1.Container, names []string) {
	for i, v := range from.Env {
		same := func(other corev1.EnvVar) bool { return other.Name == v.Name }
		if slices.Contains(names, v.Name) && !slices.ContainsFunc(from.Env[i+1:], same) && !slices.ContainsFunc(c.Env, same) {
			c.Env = append(c.Env, v)
		}
	}
}

// copyMounts copies all mounts of each volume.
func copyMounts(c, from *corev1.Container, volumes []string, at string, copied map[string]bool) {
	for _, m := range from.VolumeMounts {
		left := !slices.Contains(volumes, m.Name)
		for _, own := range c.VolumeMounts {
			left = left || own.Name == m.Name && !copied[at+m.Name] || trimSlashes(own.MountPath) == trimSlashes(m.MountPath)
		}
		for _, own := range c.VolumeDevices {
			left = left || own.Name == m.Name || trimSlashes(own.DevicePath) == trimSlashes(m.MountPath)
		}
		if !left {
			c.VolumeMounts = append(c.VolumeMounts, m)
			copied[at+m.Name] = true
		}
	}
}

// mergePod merges the fields outside of containers.
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
		same := func(other corev1.Toleration) bool { return tolerationKey(other) == tolerationKey(t) }
		if !slices.ContainsFunc(spec.Tolerations, same) {
			spec.Tolerations = append(spec.Tolerations, t)
		}
	}
	for _, alias := range d.HostAliases {
		same := func(other corev1.HostAlias) bool { return equality.Semantic.DeepEqual(other, alias) }
		if !slices.ContainsFunc(e.aliases, same) {
			e.aliases = append(e.aliases, alias)
			spec.HostAliases = append(spec.HostAliases, alias)
		}
	}
	for _, c := range d.TopologySpread {
		same := func(other corev1.TopologySpreadConstraint) bool {
			return other.TopologyKey == c.TopologyKey && other.WhenUnsatisfiable == c.WhenUnsatisfiable
		}
		if !slices.ContainsFunc(spec.TopologySpreadConstraints, same) {
			spec.TopologySpreadConstraints = append(spec.TopologySpreadConstraints, c)
		}
	}
	spec.HostNetwork = spec.HostNetwork || d.HostNetwork
	e.hostPID = e.hostPID || d.HostPID && !spec.HostPID
	spec.HostPID = spec.HostPID || d.HostPID
	spec.HostIPC = spec.HostIPC || d.HostIPC
	if d.ShareProcessNamespace {
		shared := spec.ShareProcessNamespace
		e.conflict = e.conflict || shared != nil && !*shared
		e.shares = e.shares || shared == nil
		spec.ShareProcessNamespace = new(true)
	}
	e.conflict = e.conflict || e.hostPID && e.shares
	grace := int64(30)
	if spec.TerminationGracePeriodSeconds != nil {
		grace = *spec.TerminationGracePeriodSeconds
	}
	if d.GracePeriod != nil && *d.GracePeriod > grace {
		spec.TerminationGracePeriodSeconds = d.GracePeriod
	}
	e.alone = e.alone || d.SkipHostNetworkPods
}

// extendAnnotations appends words to annotations.
func (e *expected) extendAnnotations(d *definition) {
	for key, list := range d.ExtendAnnotations {
		for word := range strings.SplitSeq(list, ",") {
			word = strings.TrimSpace(word)
			var present []string
			for other := range strings.SplitSeq(e.pod.Annotations[key], ",") {
				present = append(present, strings.TrimSpace(other))
			}
			if word == "" || slices.Contains(present, word) {
				continue
			}
			e.words = true
			value := strings.TrimRight(e.pod.Annotations[key], ", ")
			if value != "" {
				value += ","
			}
			if e.pod.Annotations == nil {
				e.pod.Annotations = make(map[string]string)
			}
			e.pod.Annotations[key] = value + word
		}
	}
}

func tolerationKey(t corev1.Toleration) string {
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

// setDefaultContainer keeps the default container of kubectl.
func (e *expected) setDefaultContainer(requested []*definition, own []corev1.Container) {
	const key = "kubectl.kubernetes.io/default-container"
	prepends := slices.ContainsFunc(requested, func(d *definition) bool { return len(d.PrependContainers) > 0 })
	named := slices.IndexFunc(own, func(c corev1.Container) bool { return c.Name != "" })
	if prepends && named >= 0 {
		overlay(&e.pod.Annotations, map[string]string{key: own[named].Name})
	}
}

// each visits the containers of both lists. The index of a received container is the received one.
func (e *expected) each(visit func(at string, c *corev1.Container)) {
	spec := &e.pod.Spec
	for i := range spec.InitContainers {
		visit(indexedName("initContainers", i-e.offset["initContainers"]), &spec.InitContainers[i])
	}
	for i := range spec.Containers {
		visit(indexedName("containers", i-e.offset["containers"]), &spec.Containers[i])
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

// addVariables adds env to one container, and returns the variables that come before those of the container.
func addVariables(c *corev1.Container, d *definition, fronts []corev1.EnvVar) []corev1.EnvVar {
	absent := func(e corev1.EnvVar) bool {
		return !slices.ContainsFunc(slices.Concat(fronts, c.Env), func(own corev1.EnvVar) bool { return own.Name == e.Name })
	}
	for _, e := range d.PrependEnv {
		if absent(e) {
			fronts = append(fronts, e)
		}
	}
	for _, e := range d.Env {
		if absent(e) {
			c.Env = append(c.Env, e)
		}
	}
	return fronts
}

// extendVariables appends to the variables of one container.
func extendVariables(c *corev1.Container, d *definition) {
	for _, e := range d.ExtendEnv {
		separator, found := cmp.Or(e["separator"], " "), (*corev1.EnvVar)(nil)
		for i := range c.Env {
			if c.Env[i].Name == e["name"] {
				found = &c.Env[i]
			}
		}
		switch {
		case e["value"] == "":
		case found == nil:
			c.Env = append(c.Env, corev1.EnvVar{Name: e["name"], Value: e["value"]})
		case found.ValueFrom != nil:
		case found.Value == "":
			found.Value = e["value"]
		case !strings.Contains(separator+found.Value+separator, separator+e["value"]+separator):
			found.Value += separator + e["value"]
		}
	}
}

// addTo adds envFrom and volumeMounts to one container.
func addTo(c *corev1.Container, d *definition) {
	var sources []corev1.EnvFromSource
	for _, source := range d.EnvFrom {
		same := func(own corev1.EnvFromSource) bool { return envFromKey(own) == envFromKey(source) }
		if !slices.ContainsFunc(c.EnvFrom, same) {
			sources = append(sources, source)
		}
	}
	c.EnvFrom = append(sources, c.EnvFrom...)
	for _, m := range d.VolumeMounts {
		present := false
		for _, own := range c.VolumeMounts {
			present = present || own.Name == m.Name || trimSlashes(own.MountPath) == trimSlashes(m.MountPath)
		}
		for _, own := range c.VolumeDevices {
			present = present || own.Name == m.Name || trimSlashes(own.DevicePath) == trimSlashes(m.MountPath)
		}
		if !present {
			c.VolumeMounts = append(c.VolumeMounts, m)
		}
	}
}

func envFromKey(s corev1.EnvFromSource) string {
	text := s.Prefix + "/"
	if s.ConfigMapRef != nil {
		text += "configmap " + s.ConfigMapRef.Name
	}
	if s.SecretRef != nil {
		text += "secret " + s.SecretRef.Name
	}
	return text
}

func trimSlashes(path string) string {
	return strings.TrimRight(path, "/")
}

// dropTokens removes the token mounts of the default account.
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

// dropVolumes removes the received volumes of those mounts, unless they are in use.
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

// faults returns the faults of a pod that an injection can cause and the API server rejects, and
// ports of the node that two containers use.
func (e *expected) faults() map[string]bool {
	spec := &e.pod.Spec
	found := make(map[string]bool)
	names := make(map[string]bool)
	e.each(func(at string, c *corev1.Container) {
		if names[c.Name] {
			found[at+" has a duplicate name"] = true
		}
		names[c.Name] = true
		mountFaults(found, spec, at, c)
	})
	e.portFaults(found)
	e.hostFaults(found)
	return found
}

func mountFaults(found map[string]bool, spec *corev1.PodSpec, at string, c *corev1.Container) {
	paths, mounts := make(map[string]bool), make(map[string]bool)
	check := func(name, path string) {
		if !hasVolume(spec, name) {
			found[at+" mounts missing volume "+name] = true
		}
		if paths[trimSlashes(path)] {
			found[at+" has twice "+trimSlashes(path)] = true
		}
		paths[trimSlashes(path)] = true
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

// wantedPort is a port of the node that a container uses.
type wantedPort struct {
	at       string
	alone    bool // an init container that ends before the next one starts
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
				indexes := fmt.Sprintf("(%d of %d)", count(all[:i], a.at), count(all[:j], b.at))
				found[fmt.Sprintf("%s and %s want port %d %s", a.at, b.at, a.port, indexes)] = true
			}
		}
	}
}

// wantedPorts also finds ports with a different number on the node.
func (e *expected) wantedPorts(found map[string]bool) []wantedPort {
	var all []wantedPort
	spec := &e.pod.Spec
	init := len(spec.InitContainers)
	e.each(func(at string, c *corev1.Container) {
		init--
		native := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		alone := init >= 0 && !native
		for i, p := range c.Ports {
			w := wantedPort{
				at: at, alone: alone, port: p.HostPort, protocol: cmp.Or(p.Protocol, corev1.ProtocolTCP), ip: p.HostIP,
			}
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

// count returns the number of earlier ports of the container.
func count(earlier []wantedPort, at string) int {
	n := 0
	for _, w := range earlier {
		if w.at == at {
			n++
		}
	}
	return n
}

func (e *expected) hostFaults(found map[string]bool) {
	if e.alone && e.pod.Spec.HostNetwork {
		found["hostNetwork with skipHostNetworkPods"] = true
	}
}
