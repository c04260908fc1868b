package mutate

import (
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// maxSidecars is how many sidecars a pod may request.
const maxSidecars = 100

// maxListed is how many items a message lists.
const maxListed = 3

// ParseRequest parses the value of the annotation that requests sidecars. The result is nil if it requests none.
func ParseRequest(request string) ([]conf.Ref, error) {
	if optsOut(request) {
		return nil, nil
	}
	return parseRefs(request)
}

// parseRefs parses comma-separated refs. Duplicates count once.
func parseRefs(request string) ([]conf.Ref, error) {
	if strings.Count(request, ",") >= maxSidecars {
		return nil, errTooManySidecars
	}
	var refs []conf.Ref
	for text := range strings.SplitSeq(request, ",") {
		text = strings.TrimSpace(text)
		ref, err := conf.ParseRef(text)
		switch {
		case text == "":
			return nil, errEmptyEntry
		case ref.Name == conf.OptOut:
			return nil, errOptOutNotAlone
		case err != nil:
			return nil, &invalidRefError{text}
		}
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs, nil
}

// optsOut reports whether a request is for no sidecars.
func optsOut(request string) bool {
	request = strings.TrimSpace(request)
	return request == "" || strings.EqualFold(request, conf.OptOut)
}

// resolve returns the sidecars in the order of the refs. If some are not in service, it returns the others and an
// unknownSidecarsError.
func resolve(snapshot *store.Snapshot, refs []conf.Ref) ([]*conf.Sidecar, error) {
	sidecars := make([]*conf.Sidecar, 0, len(refs))
	var unknown unknownSidecarsError
	for _, ref := range refs {
		if sidecar := snapshot.Sidecar(ref); sidecar != nil {
			sidecars = append(sidecars, sidecar)
		} else if len(unknown) < maxListed {
			unknown = append(unknown, describeUnknown(snapshot, ref))
		}
	}
	if unknown != nil {
		return sidecars, unknown
	}
	return sidecars, nil
}

// describeUnknown returns a ref without a sidecar with the cause, or with suggestions: often only the version is wrong
// or missing, or the name is misspelled.
func describeUnknown(snapshot *store.Snapshot, ref conf.Ref) unknownSidecar {
	for rejection := range snapshot.Rejections() {
		if rejection.Ref == ref {
			return unknownSidecar{ref: ref, rejected: rejection.Origin.String()}
		}
	}
	unknown := unknownSidecar{ref: ref, others: versionsOf(snapshot, ref.Name)}
	if unknown.others == nil {
		nearest := conf.Nearest(ref.Name, func(yield func(string) bool) {
			for sidecar := range snapshot.Sidecars() {
				if !yield(sidecar.Ref.Name) {
					return
				}
			}
		})
		unknown.nearest = versionsOf(snapshot, nearest)
	}
	return unknown
}

// versionsOf returns the first few refs with a name.
func versionsOf(snapshot *store.Snapshot, name string) []string {
	var refs []string
	for sidecar := range snapshot.Sidecars() {
		if sidecar.Ref.Name == name && len(refs) < maxListed {
			refs = append(refs, sidecar.Ref.String())
		}
	}
	return refs
}
