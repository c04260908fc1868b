package store

import (
	"iter"
	"slices"
	"time"

	"k8s-sidecar-injector/conf"
)

const (
	// maxPublications is how many publications a snapshot remembers, including its own.
	maxPublications = 50
	// maxRefs limits each list of refs of a publication.
	maxRefs = 100
)

// Publication describes a snapshot when it was published. It is immutable, and its JSON is public.
type Publication struct {
	Generation uint64    `json:"generation"`
	Digest     string    `json:"digest"`
	Time       time.Time `json:"time"` // in UTC, whole seconds
	Sidecars   int       `json:"sidecars"`
	Rejections int       `json:"rejections"`
	Stale      int       `json:"stale"`
	// Added, Changed and Removed are refs in order, at most the first 100 of each, and never null. They are
	// empty if only rejections have changed.
	Added   []string `json:"added"`
	Changed []string `json:"changed"`
	Removed []string `json:"removed"`
	// Omitted is the number of refs that the lists lack.
	Omitted int `json:"omitted"`
}

// Publications returns the last publications, at most 50, the latest first. The result must not be changed.
func (s *Snapshot) Publications() []Publication { return s.publications }

// publish adds the publication of the snapshot to those of the previous one.
func (s *Snapshot) publish(before *Snapshot, now time.Time) {
	p := Publication{
		Generation: s.generation, Digest: s.Digest(), Time: now.UTC().Truncate(time.Second),
		Sidecars: s.Len(), Rejections: len(s.set.Rejections), Stale: s.stale,
	}
	p.Added = p.list(s.Sidecars(), func(sidecar *conf.Sidecar) bool { return before.byRef[sidecar.Ref] == nil })
	p.Changed = p.list(s.Sidecars(), func(sidecar *conf.Sidecar) bool {
		old := before.byRef[sidecar.Ref]
		return old != nil && old.Digest != sidecar.Digest
	})
	p.Removed = p.list(before.Sidecars(), func(sidecar *conf.Sidecar) bool { return s.byRef[sidecar.Ref] == nil })
	earlier := before.publications
	s.publications = slices.Concat([]Publication{p}, earlier[:min(len(earlier), maxPublications-1)])
}

// list returns the first refs that match, and counts the others as omitted.
func (p *Publication) list(sidecars iter.Seq[*conf.Sidecar], matches func(*conf.Sidecar) bool) []string {
	refs := []string{}
	for sidecar := range sidecars {
		switch {
		case !matches(sidecar):
		case len(refs) == maxRefs:
			p.Omitted++
		default:
			refs = append(refs, sidecar.Ref.String())
		}
	}
	return refs
}
