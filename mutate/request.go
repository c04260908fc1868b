package mutate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// mostSidecars is how many sidecars a pod may ask for.
const mostSidecars = 100

// parseRequest reads refs that commas separate. A ref that is there twice counts once. The error
// is for the user.
func parseRequest(asked string) ([]conf.Ref, error) {
	if strings.Count(asked, ",") >= mostSidecars {
		return nil, fmt.Errorf("it asks for more than %d sidecars", mostSidecars)
	}
	var refs []conf.Ref
	for part := range strings.SplitSeq(asked, ",") {
		ref, err := conf.ParseRef(part)
		switch {
		case strings.TrimSpace(part) == "":
			return nil, errors.New("there is nothing before or behind a comma")
		case ref.Name == conf.OptOut:
			return nil, fmt.Errorf("%s stands alone: it asks for no sidecar", conf.OptOut)
		case err != nil:
			return nil, fmt.Errorf("%s is not a sidecar: want name or name:version, of letters, digits, '-', '_' and '.', each up to 63, "+
				"and commas between several", quoted(strings.TrimSpace(part)))
		}
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs, nil
}

// optsOut tells a request for nothing.
func optsOut(asked string) bool {
	asked = strings.TrimSpace(asked)
	return asked == "" || strings.EqualFold(asked, conf.OptOut)
}

// find gives the sidecars in the order of the refs. The error is for the user, and names all
// that do not exist, up to a few.
func find(snapshot *store.Snapshot, refs []conf.Ref) ([]*conf.Sidecar, error) {
	const most = 3
	sidecars := make([]*conf.Sidecar, 0, len(refs))
	var missing []string
	for _, ref := range refs {
		if sidecar := snapshot.Sidecar(ref); sidecar != nil {
			sidecars = append(sidecars, sidecar)
		} else if len(missing) < most {
			missing = append(missing, fmt.Sprintf("there is no sidecar %s%s", quoted(ref.String()), alternatives(snapshot, ref)))
		}
	}
	if missing != nil {
		return nil, errors.New(strings.Join(missing, "; "))
	}
	return sidecars, nil
}

// alternatives helps somebody who named a sidecar that does not exist: usually the version is
// wrong or missing.
func alternatives(snapshot *store.Snapshot, wanted conf.Ref) string {
	const most = 3
	var names []string
	for sidecar := range snapshot.Sidecars() {
		if sidecar.Ref.Name == wanted.Name && len(names) < most {
			names = append(names, sidecar.Ref.String())
		}
	}
	if names == nil {
		return ": check the name, or ask your operator"
	}
	return ", but there is " + strings.Join(names, ", ")
}
