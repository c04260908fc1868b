package conf

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Rules are what the operator decides about definitions. The zero Rules let those from files need
// any power over the node, and those from elsewhere none.
type Rules struct {
	// UnprivilegedFiles holds definitions from files to what those from other sources may need:
	// the Pod Security level baseline.
	UnprivilegedFiles bool
	// PrivilegedConfigMaps lets definitions from ConfigMaps need more than that.
	PrivilegedConfigMaps bool
	// AnnotationNamespace is what stands before the slash in the injector's own annotations. No
	// definition may have labels or annotations there. Empty forbids none.
	AnnotationNamespace string
}

// Load makes a set of all documents of all sources, in any order. A document that is
// invalid, or whose base is, or that needs power that its source may not give, becomes a
// rejection and does not disturb the others; what its origin served in the previous set is served
// further, marked stale. Only documents whose bytes differ from those in the previous set are
// parsed. The previous set is nil at the first load, and is not changed. A document that takes too long,
// or that panics, is a rejection too. The error is that of ctx, or a *PanicError.
func (r Rules) Load(ctx context.Context, documents []Document, previous *Set) (set *Set, err error) {
	if previous == nil {
		previous = &Set{}
	}
	if previous.rules == r && previous.madeOf(documents) {
		return previous, nil
	}
	err = recovered(func() error {
		set, err = newLoading(ctx.Err, r, previous, len(documents)).load(documents)
		return err
	})
	return set, err
}

// Load is the Load of the zero Rules, for documents that are trusted. It panics where that fails.
func Load(documents []Document, previous *Set) *Set {
	set, err := Rules{}.Load(context.Background(), documents, previous) //nolint:forbidigo // trusted documents are not cancelled
	if err != nil {
		panic(err)
	}
	return set
}

// Consent gives the Rules that let definitions from these kinds of origin alone need any power.
func Consent(privileged ...Kind) Rules {
	return Rules{
		UnprivilegedFiles:    !slices.Contains(privileged, File),
		PrivilegedConfigMaps: slices.Contains(privileged, ConfigMap),
	}
}

// ParseKind reads what flags call a kind of origin: files or configmaps. Any other text is an error.
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

// privileged tells whether definitions from a kind of origin may need any power.
func (r Rules) privileged(kind Kind) bool {
	switch kind {
	case File:
		return !r.UnprivilegedFiles
	case ConfigMap:
		return r.PrivilegedConfigMaps
	default:
		return false
	}
}

// advice says what can be done about a definition whose kind of origin may not need its power.
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
