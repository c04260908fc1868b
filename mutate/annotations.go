package mutate

import (
	"strings"

	"k8s-sidecar-injector/conf"
)

// shownDigest is how many characters of a digest Injections includes.
const shownDigest = 12

// Injections returns the refs of sidecars with the beginnings of their digests, as in the injected
// annotation of a pod: `logger:v1@0123456789ab,vault:v2@…`.
func Injections(sidecars []*conf.Sidecar) string {
	texts := make([]string, len(sidecars))
	for i, s := range sidecars {
		texts[i] = s.Ref.Name + ":" + s.Ref.Version + "@" + s.Digest[:shownDigest]
	}
	return strings.Join(texts, ",")
}
