package mutate

import "k8s-sidecar-injector/conf"

// shownDigest is how much of a sidecar's digest is shown.
const shownDigest = 12

// Injections names sidecars with the beginning of their digests, in their order:
// `logger:v1@0123456789ab,vault:v2@…`. It is what the injected annotation of a pod says.
func Injections(sidecars []*conf.Sidecar) string {
	size := 0
	for _, s := range sidecars {
		size += len(s.Ref.Name) + len(s.Ref.Version) + shownDigest + len(":@,")
	}
	text := make([]byte, 0, size)
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
