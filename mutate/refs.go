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

// resolve returns the sidecars in the order of the refs. The error is an unknownSidecarsError.
func resolve(snapshot *store.Snapshot, refs []conf.Ref) ([]*conf.Sidecar, error) {
	sidecars := make([]*conf.Sidecar, 0, len(refs))
	var unknown unknownSidecarsError
	for _, ref := range refs {
		if sidecar := snapshot.Sidecar(ref); sidecar != nil {
			sidecars = append(sidecars, sidecar)
		} else if len(unknown) < maxListed {
			unknown = append(unknown, unknownSidecar{ref: ref, others: otherVersions(snapshot, ref)})
		}
	}
	if unknown != nil {
		return nil, unknown
	}
	return sidecars, nil
}

// otherVersions returns refs with the same name: often only the version is wrong or missing.
func otherVersions(snapshot *store.Snapshot, ref conf.Ref) []string {
	var others []string
	for sidecar := range snapshot.Sidecars() {
		if sidecar.Ref.Name == ref.Name && len(others) < maxListed {
			others = append(others, sidecar.Ref.String())
		}
	}
	return others
}
