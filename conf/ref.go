package conf

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// OptOut in place of a ref is a pod's word for no sidecar at all.
const OptOut = "none"

// latest is the version of a ref that names none.
const latest = "latest"

// Ref names a sidecar: name and version, in lower case. It is comparable.
type Ref struct {
	Name    string
	Version string
}

// ParseRef reads `name[:version]`. White space around it is dropped, letters are lowered,
// and the version defaults to `latest`. Both parts follow the rules of a Kubernetes label
// value: up to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit.
func ParseRef(text string) (Ref, error) {
	name, version, versioned := strings.Cut(strings.ToLower(strings.TrimSpace(text)), ":")
	if !versioned {
		version = latest
	}
	if err := checkRefPart("name", name); err != nil {
		return Ref{}, err
	}
	if err := checkRefPart("version", version); err != nil {
		return Ref{}, err
	}
	return Ref{Name: name, Version: version}, nil
}

// String gives `name:version`.
func (r Ref) String() string {
	return r.Name + ":" + r.Version
}

// Compare orders refs by name, then by version.
func (r Ref) Compare(other Ref) int {
	return strings.Compare(r.String(), other.String())
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
