package mutate

import "k8s-sidecar-injector/conf"

// shownDigest is how many characters of a digest Injections includes.
const shownDigest = 12

// Injections returns the refs of sidecars with the beginnings of their digests, as in the injected
// annotation of a pod: `logger:v1@0123456789ab,vault:v2@…`.
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
