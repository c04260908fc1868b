package conf

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"

	"k8s-sidecar-injector/conf/podrules"
)

// Set is what Load made of a list of documents. It is immutable and safe for concurrent use.
type Set struct {
	// Sidecars are those to serve, by ref.
	Sidecars []*Sidecar
	// Rejections are the documents that could not be served, by origin.
	Rejections []Rejection
	// Digest is the SHA-256, in lower-case hex, of refs and content of the sidecars alone:
	// replicas that serve the same have the same.
	Digest string

	// rules are those that the set was loaded by.
	rules Rules
	// standards are kept for the next Load, as it takes a while to make them.
	standards *podrules.Standards
	// documents are what the set was made of, by origin, without the files read on the way.
	documents []Document
	// parsed lets the next Load pass over what did not change.
	parsed map[Origin]*parsed
	// owners are the documents that each ref belongs to, valid or not.
	owners map[Ref]Origin
	// good is what each file or key gave when its documents were good last, by origin without
	// index. It is what the next Load falls back on.
	good map[Origin][]*Sidecar
	// followsPaths tells that the documents are not all that the set depends on.
	followsPaths bool
}

// Rejection is a document that could not be served, with every reason.
type Rejection struct {
	Origin Origin
	// Errors holds an *Error for each fault, and gives them in one line; it is never nil or
	// empty.
	Errors *multierror.Error
	// Stale are the sidecars that this origin served before and that stay in service.
	Stale []Ref
}

// Equal reports whether both serve the same content from the same origins, reject the same documents for
// the same reasons, and agree on who owns which ref. Nil equals only nil.
func (s *Set) Equal(other *Set) bool {
	if s == nil || other == nil {
		return s == other
	}
	return s.Digest == other.Digest && maps.Equal(s.owners, other.owners) &&
		slices.EqualFunc(s.Sidecars, other.Sidecars, sameOrigin) &&
		slices.EqualFunc(s.Rejections, other.Rejections, sameRejection)
}

func sameOrigin(a, b *Sidecar) bool {
	return a.Origin == b.Origin && a.Stale == b.Stale
}

func sameRejection(a, b Rejection) bool {
	return a.Origin == b.Origin && a.Errors.Error() == b.Errors.Error() && slices.Equal(a.Stale, b.Stale)
}

func compareSidecars(a, b *Sidecar) int {
	return strings.Compare(a.Ref.String(), b.Ref.String())
}

func compareRejections(a, b Rejection) int {
	return a.Origin.Compare(b.Origin)
}
