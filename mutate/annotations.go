package mutate

import "k8s-sidecar-injector/conf"

// shownDigest is how much of a sidecar's digest is shown.
const shownDigest = 12

// Injections names sidecars with the beginning of their digests, in their order:
// `logger:v1@0123456789ab,vault:v2@…`. It is what the injected annotation of a pod says.
func Injections(sidecars []*conf.Sidecar) string {
	var text []byte
	for i, s := range sidecars {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(text, s.Ref.Name...), ':')
		text = append(append(text, s.Ref.Version...), '@')
		text = append(text, s.Digest[:shownDigest]...)
	}
	return string(text)
}
