package conf

import (
	"maps"
	"slices"

	"github.com/hashicorp/go-multierror"

	"k8s-sidecar-injector/conf/podrules"
)

// Set is the result of a load. It is immutable and safe for concurrent use.
type Set struct {
	// Sidecars are the sidecars to serve, by ref.
	Sidecars []*Sidecar
	// Rejections are the documents that could not be served, by origin.
	Rejections []Rejection
	// Digest is the SHA-256, in lower-case hex, of the refs and the content of the sidecars. It is equal on
	// replicas that serve the same sidecars.
	Digest string

	rules     Rules
	standards *podrules.Standards // kept for the next load because they are slow to build
	documents []Document          // all documents, by origin, with the results that the next load can reuse
	owners    map[Ref]*loaded     // the document that owns each ref, valid or not
	good      map[entry]*Sidecar  // the last valid version of each sidecar; the next load falls back on them
	loaded    bool
	// retry is true if the next load must parse or merge a document again even if it is unchanged.
	retry bool
}

// isLoadOf reports whether a load of the documents, sorted by origin, would return an equal set.
func (s *Set) isLoadOf(documents []Document) bool {
	if !s.loaded || s.retry || len(s.documents) != len(documents) {
		return false
	}
	for i := range documents {
		if !documents[i].unchanged(&s.documents[i]) {
			return false
		}
	}
	return true
}

// Rejection is a document that could not be served, with all its faults.
type Rejection struct {
	Origin Origin
	// Ref is the ref that the document defines. It is zero if the name cannot be read.
	Ref Ref
	// Errors has an *Error for each fault, and formats them in one line. It is never nil or empty.
	Errors *multierror.Error
	// Stale are the sidecars of this origin whose last valid version stays in service.
	Stale []Ref
}

// Equal reports whether both sets serve the same content from the same origins, reject the same documents for
// the same reasons, and have the same owner for each ref. Nil equals only nil.
func (s *Set) Equal(other *Set) bool {
	if s == nil || other == nil {
		return s == other
	}
	return s.Digest == other.Digest && maps.EqualFunc(s.owners, other.owners, sameOwner) &&
		slices.EqualFunc(s.Sidecars, other.Sidecars, sameOrigin) &&
		slices.EqualFunc(s.Rejections, other.Rejections, sameRejection)
}

func sameOwner(a, b *loaded) bool { return a.document.Origin == b.document.Origin }

func sameOrigin(a, b *Sidecar) bool {
	return a.Origin == b.Origin && a.Stale == b.Stale
}

func sameRejection(a, b Rejection) bool {
	return a.Origin == b.Origin && a.Errors.Error() == b.Errors.Error() && slices.Equal(a.Stale, b.Stale)
}

func compareRejections(a, b Rejection) int {
	return a.Origin.Compare(b.Origin)
}
