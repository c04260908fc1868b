package mutate

import (
	"slices"
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
		texts[i] = Injection{s.Ref, ShortDigest(s)}.String()
	}
	return strings.Join(texts, ",")
}

// ShortDigest returns the beginning of the digest of a sidecar that the injected annotation includes.
func ShortDigest(s *conf.Sidecar) string { return s.Digest[:shownDigest] }

// Injection is a sidecar in the injected annotation of a pod.
type Injection struct {
	Ref    conf.Ref
	Digest string // its beginning
}

// String returns the injection as in the annotation.
func (i Injection) String() string { return i.Ref.Name + ":" + i.Ref.Version + "@" + i.Digest }

// ParseInjections parses the value of an injected annotation. It ignores parts that Injections does not write: those
// that are malformed, repeat a ref or come after the first 100.
func ParseInjections(text string) []Injection {
	var injections []Injection
	for part := range strings.SplitSeq(text, ",") {
		name, digest, found := strings.Cut(part, "@")
		ref, err := conf.ParseRef(name)
		isRef := func(i Injection) bool { return i.Ref == ref }
		if !found || err != nil || len(digest) != shownDigest || slices.ContainsFunc(injections, isRef) {
			continue
		}
		if injections = append(injections, Injection{ref, digest}); len(injections) == maxSidecars {
			break
		}
	}
	return injections
}
