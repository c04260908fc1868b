package podrules

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// runtimeAnnotations returns the quoted keys of annotations that a container runtime interprets. The
// kubelet passes the annotations of a pod to the runtime, which runs as root on the node. The runtime
// reads devices, mounts, profiles and properties of systemd units from them. Neither Kubernetes nor the
// Pod Security Standards check these annotations.
func runtimeAnnotations(annotations map[string]string) []string {
	var found []string
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if RuntimeAnnotation(key) {
			found = append(found, strconv.Quote(key))
		}
	}
	return found
}

// RuntimeAnnotation reports whether a container runtime or one of its plugins may interpret the
// annotation. It ignores letter case to be safe, although runtimes compare keys exactly.
func RuntimeAnnotation(key string) bool {
	key = strings.ToLower(key)
	domain, _, _ := strings.Cut(key, "/")
	hasPrefix := func(prefix string) bool { return strings.HasPrefix(key, prefix) }
	isIn := func(parent string) bool { return domain == parent || strings.HasSuffix(domain, "."+parent) }
	return slices.ContainsFunc(runtimePrefixes(), hasPrefix) || slices.ContainsFunc(runtimeDomains(), isIn)
}

// runtimePrefixes returns prefixes of keys, mostly reversed domain names. The comments name the place
// where each runtime defines its keys.
func runtimePrefixes() []string {
	return []string{
		"io.kubernetes.",        // CRI-O (pkg/annotations): cri-o.*; containerd (pkg/cri/annotations): cri.*
		"io.containerd.",        // containerd (internal/cri/annotations): runtime handler, options of shims
		"io.containers.",        // CRI-O (pkg/annotations): trace-syscall, for oci-seccomp-bpf-hook
		"io.katacontainers.",    // kata-containers/docs/how-to/how-to-set-sandbox-config-kata.md
		"dev.gvisor.",           // gVisor (runsc/config): flag.* overrides flags of runsc, spec.* mounts
		"io.microsoft.",         // hcsshim (pkg/annotations): virtualmachine.*, container.*
		"run.oci.",              // crun (crun.1.md): handlers, hooks, SELinux and seccomp options
		"module.wasm.image",     // crun: runs the image by its wasm handler
		"org.systemd.property.", // runc, crun: properties of the systemd unit (GHSA-2cgq-h8xw-2v5j)
		"org.criu.",             // runc/docs/checkpoint-restore.md, crun: config, a file of the node
	}
}

// runtimeDomains returns domains. A key matches if the part before the slash, or the whole key without
// one, is such a domain or a subdomain.
func runtimeDomains() []string {
	return []string{
		"crio.io",                      // CRI-O (pkg/annotations/v2): devices.crio.io, cpu-quota.crio.io
		"cri-o.io",                     // CRI-O: seccomp-profile.kubernetes.cri-o.io
		"containerd.io",                // containerd: containerd.io/restart.*, ulimits.nri.containerd.io
		"cdi.k8s.io",                   // Container Device Interface (SPEC.md), also nvidia.cdi.k8s.io
		"nri.io",                       // plugins of containerd/nri: devices.nri.io, mounts.nri.io
		"noderesource.dev",             // the newer names of these plugins: devices.noderesource.dev
		"resources.beta.kubernetes.io", // goresctrl, in CRI-O and containerd: blockio and rdt classes
	}
}
