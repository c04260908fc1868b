package conf

import (
	"slices"
	"strings"
)

// runtimeAnnotations returns the need of a definition whose annotations a container runtime interprets. A
// kubelet passes the annotations of a pod to its runtime, which runs as root on the node. What the runtime
// makes of them, such as devices, mounts, profiles and properties of its systemd unit, is checked neither by
// Kubernetes nor by the Pod Security Standards.
func runtimeAnnotations(annotations map[string]string) []need {
	for key := range annotations {
		if interpreted(key) {
			return []need{"container runtime annotations"}
		}
	}
	return nil
}

// interpreted reports whether a container runtime, or a plugin of one, may interpret the annotation. Runtimes
// compare keys exactly; letter case is ignored here so that none is missed.
func interpreted(key string) bool {
	key = strings.ToLower(key)
	domain, _, _ := strings.Cut(key, "/")
	return slices.ContainsFunc(runtimePrefixes(), func(prefix string) bool { return strings.HasPrefix(key, prefix) }) ||
		slices.ContainsFunc(runtimeDomains(), func(of string) bool { return domain == of || strings.HasSuffix(domain, "."+of) })
}

// runtimePrefixes begin the keys that are reversed domain names.
func runtimePrefixes() []string {
	return []string{
		"io.kubernetes.",        // CRI-O io.kubernetes.cri-o.* (pkg/annotations), containerd io.kubernetes.cri.* (pkg/cri/annotations)
		"io.containerd.",        // containerd: runtime handler (internal/cri/annotations), options of shims
		"io.containers.",        // CRI-O: io.containers.trace-syscall, hook of oci-seccomp-bpf-hook
		"io.katacontainers.",    // Kata Containers: docs/how-to/how-to-set-sandbox-config-kata.md
		"dev.gvisor.",           // gVisor: dev.gvisor.flag.* overrides flags of runsc, dev.gvisor.spec.* mounts
		"io.microsoft.",         // hcsshim: io.microsoft.virtualmachine.*, io.microsoft.container.* (pkg/annotations)
		"run.oci.",              // crun: run.oci.handler, hooks, SELinux and seccomp options (crun.1.md)
		"module.wasm.image",     // crun: runs the image with its wasm handler
		"org.systemd.property.", // runc and crun: properties of the systemd unit (GHSA-2cgq-h8xw-2v5j)
		"org.criu.",             // runc and crun: org.criu.config, a file on the node (docs/checkpoint-restore.md)
	}
}

// runtimeDomains are the domains before the slash, together with their subdomains, or whole keys.
func runtimeDomains() []string {
	return []string{
		"crio.io", "cri-o.io", // CRI-O: cpu-quota.crio.io, devices.crio.io, seccomp-profile.kubernetes.cri-o.io
		"containerd.io",                // containerd.io/restart.*, ulimits.nri.containerd.io
		"cdi.k8s.io",                   // Container Device Interface (SPEC.md), also nvidia.cdi.k8s.io
		"nri.io",                       // plugins of the Node Resource Interface: devices.nri.io, mounts.nri.io
		"noderesource.dev",             // the same plugins under their newer names
		"resources.beta.kubernetes.io", // goresctrl in CRI-O and containerd: blockio and rdt classes
	}
}
