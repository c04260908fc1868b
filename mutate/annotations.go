package mutate

import (
	"strings"

	"k8s-sidecar-injector/conf"
)

// shownDigest is how much of a sidecar's digest the injected annotation shows.
const shownDigest = 12

// encodeAnnotations notes on the pod that it is done, and with what. The status keeps a
// second review, such as one by reinvocationPolicy IfNeeded, from injecting again. A pod that
// is injected has annotations already: one of them asked for it.
func encodeAnnotations(w *patch, policy *Policy, sidecar *conf.Sidecar) {
	for _, added := range []annotation{{injectedKey, InjectedValue([]*conf.Sidecar{sidecar})}, {statusKey, statusInjected}} {
		w.begin(opAdd, "/metadata/annotations/", escape(policy.key(added.key)))
		w.quote(added.value)
		w.end()
	}
}

// InjectedValue is the value of the injected annotation: each sidecar, in order, as
// logger:v1@ and the beginning of its digest, with commas between them. It is empty for none.
func InjectedValue(sidecars []*conf.Sidecar) string {
	var text strings.Builder
	for i, sidecar := range sidecars {
		if i > 0 {
			text.WriteByte(',')
		}
		ref := sidecar.Ref.String()
		text.Grow(len(ref) + 1 + shownDigest)
		text.WriteString(ref)
		text.WriteByte('@')
		text.WriteString(sidecar.Digest[:shownDigest])
	}
	return text.String()
}
