package mutate

import (
	"errors"
	"fmt"
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
		return nil, fmt.Errorf("more than %d sidecars", maxSidecars)
	}
	var refs []conf.Ref
	for text := range strings.SplitSeq(request, ",") {
		text = strings.TrimSpace(text)
		ref, err := conf.ParseRef(text)
		switch {
		case text == "":
			return nil, errors.New("empty list entry")
		case ref.Name == conf.OptOut:
			return nil, fmt.Errorf("%s cannot be combined with sidecars", conf.OptOut)
		case err != nil:
			return nil, fmt.Errorf("%s is not a sidecar; want name or name:version, separated by commas, "+
				"each of at most 63 letters, digits, '-', '_' and '.'", quoted(text))
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

// resolve returns the sidecars in the order of the refs. The error lists the first few unknown ones.
func resolve(snapshot *store.Snapshot, refs []conf.Ref) ([]*conf.Sidecar, error) {
	sidecars := make([]*conf.Sidecar, 0, len(refs))
	var unknown []string
	for _, ref := range refs {
		if sidecar := snapshot.Sidecar(ref); sidecar != nil {
			sidecars = append(sidecars, sidecar)
		} else if len(unknown) < maxListed {
			unknown = append(unknown, unknownRef(snapshot, ref))
		}
	}
	if unknown != nil {
		return nil, errors.New(strings.Join(unknown, "; "))
	}
	return sidecars, nil
}

// unknownRef returns a message about a ref without a sidecar. Often only the version is wrong or missing.
func unknownRef(snapshot *store.Snapshot, ref conf.Ref) string {
	var others []string
	for sidecar := range snapshot.Sidecars() {
		if sidecar.Ref.Name == ref.Name && len(others) < maxListed {
			others = append(others, sidecar.Ref.String())
		}
	}
	text := "there is no sidecar " + quoted(ref.String())
	if others == nil {
		return text + ": check the name, or ask your operator"
	}
	return text + ", but there is " + strings.Join(others, ", ")
}
