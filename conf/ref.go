package conf

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// OptOut is requested by a pod in place of a ref if it wants no sidecar.
const OptOut = "none"

// latest is the default version of a ref.
const latest = "latest"

// Ref identifies a sidecar by name and version, in lower case. It is comparable.
type Ref struct {
	Name    string
	Version string
}

// ParseRef parses `name[:version]`. Surrounding white space is ignored, letters are converted to lower case, and
// the version defaults to `latest`, also after a colon. Both parts must be label values: up to 63 letters, digits,
// '-', '_' and '.', beginning and ending with a letter or digit.
func ParseRef(text string) (Ref, error) {
	name, version, _ := strings.Cut(strings.ToLower(strings.TrimSpace(text)), ":")
	version = cmp.Or(version, latest)
	if err := checkRefPart("name", name); err != nil {
		return Ref{}, err
	}
	if err := checkRefPart("version", version); err != nil {
		return Ref{}, err
	}
	return Ref{Name: name, Version: version}, nil
}

// String returns `name:version`.
func (r Ref) String() string {
	return r.Name + ":" + r.Version
}

// Compare orders refs as their strings. A load sorts thousands, so it does not make the strings.
func (r Ref) Compare(other Ref) int {
	if r.Name == other.Name {
		return strings.Compare(r.Version, other.Version)
	}
	common := min(len(r.Name), len(other.Name))
	if order := strings.Compare(r.Name[:common], other.Name[:common]); order != 0 {
		return order
	}
	if len(r.Name) == common { // a name has no colon
		return cmp.Compare(':', other.Name[common])
	}
	return cmp.Compare(r.Name[common], ':')
}

func checkRefPart(part, value string) error {
	if value == "" {
		return fmt.Errorf("the %s is empty: a ref is name or name:version", part)
	}
	if faults := validation.IsValidLabelValue(value); len(faults) > 0 {
		return fmt.Errorf("the %s is not usable: %s", part, strings.Join(faults, "; "))
	}
	return nil
}
