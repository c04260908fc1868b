package mutate

import "k8s-sidecar-injector/conf"

// shownDigest is how much of a sidecar's digest the injected annotation shows.
const shownDigest = 12

// encodeAnnotations notes on the pod that it is done, and with what. The status keeps a
// second review, such as one by reinvocationPolicy IfNeeded, from injecting again.
func encodeAnnotations(w *patch, policy *Policy, sidecar *conf.Sidecar) {
	injected := sidecar.Ref.String() + "@" + sidecar.Digest[:shownDigest]
	for _, added := range []annotation{{injectedKey, injected}, {statusKey, statusInjected}} {
		w.begin(opAdd, "/metadata/annotations/", escape(policy.key(added.key)))
		w.quote(added.value)
		w.end()
	}
}

// encodeMetadata makes what the annotations stand in. A pod that asks by itself has it; one that a
// default applies to may have nothing.
func (p *plan) encodeMetadata(w *patch) {
	metadata := &p.object.Metadata
	if !metadata.present {
		w.addObject("/metadata")
	}
	if !metadata.Annotations.present {
		w.addObject("/metadata/annotations")
	}
}
