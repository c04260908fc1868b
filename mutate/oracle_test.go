package mutate_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/mutate"
)

// This is what the documentation promises, written down a second time: over typed pods, one
// rule after the other, without regard to speed. FuzzPod holds the package against it.

// definition is a sidecar as its author writes it.
type definition struct {
	Name               string               `json:"name"`
	Containers         []corev1.Container   `json:"containers"`
	InitContainers     []corev1.Container   `json:"initContainers"`
	Volumes            []corev1.Volume      `json:"volumes"`
	VolumeMounts       []corev1.VolumeMount `json:"volumeMounts"`
	Env                []corev1.EnvVar      `json:"env"`
	HostAliases        []corev1.HostAlias   `json:"hostAliases"`
	HostNetwork        bool                 `json:"hostNetwork"`
	HostPID            bool                 `json:"hostPID"`
	ServiceAccountName string               `json:"serviceAccountName"`
}

const token = "/var/run/secrets/kubernetes.io/serviceaccount"

// expected is what the oracle makes of a pod.
type expected struct {
	reason  mutate.Reason
	pod     *corev1.Pod     // if injected
	dropped map[string]bool // volumes that were taken away
	account bool            // the service account was set
	tokens  bool            // mounts at the token path are taken away
	before  map[string]bool // faults that the pod came with, without those of mounts that go
}

// expect decides about a pod in a namespace that may have a default, when the snapshot has one sidecar.
func expect(object []byte, namespace *string, d *definition, injected string) (*expected, error) {
	pod := new(corev1.Pod)
	if err := json.Unmarshal(object, pod); err != nil {
		return nil, err
	}
	reason := expectReason(pod, namespace, d)
	if reason != mutate.ReasonInjected && reason != mutate.ReasonNamespaceDefault {
		return &expected{reason: reason}, nil
	}
	e := &expected{reason: reason, pod: pod.DeepCopy(), dropped: map[string]bool{}}
	e.merge(d, nulls(object))
	if e.pod.Annotations == nil {
		e.pod.Annotations = make(map[string]string)
	}
	e.pod.Annotations["injector.tumblr.com/status"] = "injected"
	e.pod.Annotations["injector.tumblr.com/injected"] = injected
	for fault := range faults(&e.pod.Spec) {
		if !e.before[fault] {
			return &expected{reason: mutate.ReasonConflict}, nil
		}
	}
	return e, nil
}

func expectReason(pod *corev1.Pod, namespace *string, d *definition) mutate.Reason {
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
		return mutate.ReasonMirrorPod
	case status == "injected":
		return mutate.ReasonAlreadyInjected
	case !asked:
		return mutate.ReasonNoAnnotation
	case request == "", request == "none":
		return mutate.ReasonOptedOut
	case strings.ContainsAny(request, " !,"):
		return mutate.ReasonBadRequest
	case request != d.Name:
		return mutate.ReasonUnknownSidecar
	}
	return met
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
func (e *expected) merge(d *definition, null map[string]bool) {
	spec := &e.pod.Spec
	account := cmp.Or(spec.ServiceAccountName, spec.DeprecatedServiceAccount)
	if d.ServiceAccountName != "" && d.ServiceAccountName != "default" && (account == "" || account == "default") {
		e.account = true
		spec.ServiceAccountName = d.ServiceAccountName
		if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
			e.dropTokens()
		}
	}
	e.before = faults(spec)
	spec.InitContainers = append(spec.InitContainers, d.InitContainers...)
	spec.Containers = append(spec.Containers, d.Containers...)
	received := len(spec.Volumes)
	for _, v := range d.Volumes {
		if !hasVolume(spec, v.Name) {
			spec.Volumes = append(spec.Volumes, v)
		}
	}
	each(spec, func(at string, c *corev1.Container) {
		if !null[at] {
			addTo(c, d)
		}
	})
	e.dropVolumes(received)
	spec.HostAliases = append(spec.HostAliases, d.HostAliases...)
	spec.HostNetwork = spec.HostNetwork || d.HostNetwork
	spec.HostPID = spec.HostPID || d.HostPID
}

// each visits the containers of both lists.
func each(spec *corev1.PodSpec, visit func(at string, c *corev1.Container)) {
	for i := range spec.InitContainers {
		visit(place("initContainers", i), &spec.InitContainers[i])
	}
	for i := range spec.Containers {
		visit(place("containers", i), &spec.Containers[i])
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

// addTo gives one container env and mounts.
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

func clean(path string) string {
	return strings.TrimRight(path, "/")
}

// dropTokens takes away what the API server mounted for the default account.
func (e *expected) dropTokens() {
	e.tokens = true
	each(&e.pod.Spec, func(_ string, c *corev1.Container) {
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
	each(&e.pod.Spec, func(_ string, c *corev1.Container) {
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
func faults(spec *corev1.PodSpec) map[string]bool {
	found := make(map[string]bool)
	names := make(map[string]bool)
	each(spec, func(at string, c *corev1.Container) {
		if names[c.Name] {
			found[at+" has a name that is taken"] = true
		}
		names[c.Name] = true
		mountFaults(found, spec, at, c)
		demandFaults(found, spec, at, c)
	})
	portFaults(found, spec)
	nodeFaults(found, spec)
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

func portFaults(found map[string]bool, spec *corev1.PodSpec) {
	all := wantedPorts(found, spec)
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
func wantedPorts(found map[string]bool, spec *corev1.PodSpec) []wantedPort {
	var all []wantedPort
	init := len(spec.InitContainers)
	each(spec, func(at string, c *corev1.Container) {
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

func nodeFaults(found map[string]bool, spec *corev1.PodSpec) {
	alien := spec.HostUsers != nil && !*spec.HostUsers
	each(spec, func(at string, c *corev1.Container) {
		if alien && len(c.VolumeDevices) > 0 {
			found["hostUsers with devices of "+at] = true
		}
	})
	for fault, is := range map[string]bool{
		"hostUsers with hostNetwork":         alien && spec.HostNetwork,
		"hostUsers with hostPID":             alien && spec.HostPID,
		"shareProcessNamespace with hostPID": spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace && spec.HostPID,
		"windows with hostPID":               spec.OS != nil && spec.OS.Name == corev1.Windows && spec.HostPID,
		"hostnameOverride with hostNetwork":  spec.HostnameOverride != nil && spec.HostNetwork,
		"sysctls with hostNetwork":           hasNetworkSysctl(spec) && spec.HostNetwork,
	} {
		if is {
			found[fault] = true
		}
	}
}

func hasNetworkSysctl(spec *corev1.PodSpec) bool {
	if spec.SecurityContext == nil {
		return false
	}
	for _, s := range spec.SecurityContext.Sysctls {
		if strings.HasPrefix(strings.ReplaceAll(s.Name, "/", "."), "net.") {
			return true
		}
	}
	return false
}

// demandFaults lists what a container asks of its pod in vain.
func demandFaults(found map[string]bool, spec *corev1.PodSpec, at string, c *corev1.Container) {
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.FileKeyRef != nil && !hasVolume(spec, e.ValueFrom.FileKeyRef.VolumeName) {
			found[at+" reads from missing volume "+e.ValueFrom.FileKeyRef.VolumeName] = true
		}
	}
	for _, claim := range c.Resources.Claims {
		named := func(has corev1.PodResourceClaim) bool { return has.Name == claim.Name }
		if !slices.ContainsFunc(spec.ResourceClaims, named) {
			found[at+" has missing claim "+claim.Name] = true
		}
	}
	for _, policy := range c.ResizePolicy {
		if policy.RestartPolicy == corev1.RestartContainer && spec.RestartPolicy == corev1.RestartPolicyNever {
			found[at+" is never restarted"] = true
		}
	}
	alien := spec.HostUsers != nil && !*spec.HostUsers
	if s := c.SecurityContext; s != nil && s.ProcMount != nil && *s.ProcMount == corev1.UnmaskedProcMount && !alien {
		found[at+" is unmasked"] = true
	}
	if s := c.SecurityContext; s != nil && spec.OS != nil {
		if spec.OS.Name == corev1.Windows && (s.ProcMount != nil || s.RunAsUser != nil) || spec.OS.Name == corev1.Linux && s.WindowsOptions != nil {
			found[at+" is for another system"] = true
		}
	}
	if c.Lifecycle == nil {
		return
	}
	for _, hook := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
		if hook != nil && hook.Sleep != nil && hook.Sleep.Seconds > graceOf(spec) {
			found[at+" sleeps too long"] = true
		}
	}
}

// graceOf follows the defaults of the API.
func graceOf(spec *corev1.PodSpec) int64 {
	if spec.TerminationGracePeriodSeconds == nil {
		return 30
	}
	if *spec.TerminationGracePeriodSeconds < 0 {
		return 1
	}
	return *spec.TerminationGracePeriodSeconds
}
