package conf

import (
	"fmt"
	"slices"
	"strings"
)

// Rules are the operator's restrictions on definitions. The zero Rules allow definitions from files any Pod
// Security level, and other definitions the level baseline.
type Rules struct {
	// UnprivilegedFiles restricts definitions from files to the Pod Security level baseline.
	UnprivilegedFiles bool
	// PrivilegedConfigMaps allows definitions from ConfigMaps any Pod Security level.
	PrivilegedConfigMaps bool
	// AnnotationNamespace is the prefix of the injector's own annotations. Definitions may not have labels or
	// annotations with this prefix. Empty means that all prefixes are allowed.
	AnnotationNamespace string
}

// Consent returns the Rules that allow any Pod Security level only to definitions of these kinds of origin.
func Consent(privileged ...Kind) Rules {
	return Rules{
		UnprivilegedFiles:    !slices.Contains(privileged, File),
		PrivilegedConfigMaps: slices.Contains(privileged, ConfigMap),
	}
}

// ParseKind parses the name of a kind of origin in flags: files or configmaps.
func ParseKind(text string) (Kind, error) {
	for _, kind := range []Kind{File, ConfigMap} {
		if text == kind.flag() {
			return kind, nil
		}
	}
	return 0, fmt.Errorf("%q is neither %s nor %s", text, File.flag(), ConfigMap.flag())
}

func (k Kind) flag() string {
	if k == ConfigMap {
		return "configmaps"
	}
	return "files"
}

func (k Kind) singular() string {
	if k == ConfigMap {
		return "ConfigMap"
	}
	return "file"
}

// privileged reports whether definitions of a kind of origin may use any Pod Security level.
func (r Rules) privileged(kind Kind) bool {
	return kind == File && !r.UnprivilegedFiles || kind == ConfigMap && r.PrivilegedConfigMaps
}

// advice returns the remedies for a definition whose kind of origin may not use its Pod Security level.
func (r Rules) advice(kind Kind) string {
	var move string
	if kind != File && r.privileged(File) {
		move = "move it to a file, or "
	}
	var flags []string
	for _, k := range []Kind{File, ConfigMap} {
		if k == kind || r.privileged(k) {
			flags = append(flags, k.flag())
		}
	}
	return fmt.Sprintf("%shave the operator start with --privileged-sources=%s", move, strings.Join(flags, ","))
}
