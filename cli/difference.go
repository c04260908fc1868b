package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/inspect"
	"k8s-sidecar-injector/store"
)

// difference is the difference between two snapshots, in the JSON format of docs/list.md. No field is
// omitted, and no list is null.
type difference struct {
	Added   []conf.ListedSidecar `json:"added"`
	Changed []changedSidecar     `json:"changed"`
	Removed []conf.ListedSidecar `json:"removed"`
	// Rejected are the documents that are rejected only after the change, or for other reasons.
	Rejected []conf.ListedRejection `json:"rejected"`
	// Workloads are the rows of a report after the change that differ from one before it.
	Workloads []inspect.Row `json:"workloads"`
}

type changedSidecar struct {
	Ref       string        `json:"ref"`
	Origin    string        `json:"origin"`
	OldDigest string        `json:"oldDigest"`
	NewDigest string        `json:"newDigest"`
	Fields    []fieldChange `json:"fields"`
}

// fieldChange is a change of one field of a flattened definition.
type fieldChange struct {
	Path string `json:"path"`
	// Change is add, remove, replace or reorder.
	Change string `json:"change"`
	// Old and New are null if there is no such value, and for reorder.
	Old any `json:"old"`
	New any `json:"new"`
}

const (
	changeAdd     = "add"
	changeRemove  = "remove"
	changeReplace = "replace"
	changeReorder = "reorder"
)

// newDifference compares two snapshots. Those of running files have the paths of the changed ones, unlike those of now.
func newDifference(now, running, next *store.Snapshot, showValues bool) *difference {
	d := &difference{
		Added: []conf.ListedSidecar{}, Changed: []changedSidecar{}, Removed: []conf.ListedSidecar{},
		Rejected: []conf.ListedRejection{}, Workloads: []inspect.Row{},
	}
	for s := range next.Sidecars() {
		switch old := running.Sidecar(s.Ref); {
		case old == nil:
			d.Added = append(d.Added, s.Listed())
		case old.Digest != s.Digest:
			d.Changed = append(d.Changed, newChange(old, s, showValues))
		}
	}
	for s := range now.Sidecars() {
		if next.Sidecar(s.Ref) == nil {
			d.Removed = append(d.Removed, s.Listed())
		}
	}
	before := running.Listing().Rejections
	for _, rejection := range next.Listing().Rejections {
		same := func(old conf.ListedRejection) bool {
			return old.Origin == rejection.Origin && slices.Equal(old.Errors, rejection.Errors) &&
				slices.Equal(old.Stale, rejection.Stale)
		}
		if !slices.ContainsFunc(before, same) {
			d.Rejected = append(d.Rejected, rejection)
		}
	}
	return d
}

func newChange(old, changed *conf.Sidecar, showValues bool) changedSidecar {
	a, b := any(old.Definition()), any(changed.Definition())
	if !showValues {
		a, b = hideValues(a), hideValues(b)
	}
	return changedSidecar{
		Ref: changed.Ref.String(), Origin: changed.Origin.String(), OldDigest: old.Digest, NewDigest: changed.Digest,
		Fields: compareValues(nil, "", a, b),
	}
}

func (d *difference) empty() bool {
	return len(d.Added)+len(d.Changed)+len(d.Removed)+len(d.Rejected) == 0
}

// compareValues appends the changes between two values of a field. Nil is no value.
func compareValues(changes []fieldChange, path string, a, b any) []fieldChange {
	oldMembers, oldIsObject := a.(map[string]any)
	newMembers, newIsObject := b.(map[string]any)
	oldList, oldIsList := a.([]any)
	newList, newIsList := b.([]any)
	switch {
	case reflect.DeepEqual(a, b):
		return changes
	case a == nil:
		return append(changes, fieldChange{path, changeAdd, nil, b})
	case b == nil:
		return append(changes, fieldChange{path, changeRemove, a, nil})
	case oldIsObject && newIsObject:
		return compareMembers(changes, path, oldMembers, newMembers)
	case oldIsList && newIsList && hasNames(oldList) && hasNames(newList):
		before := len(changes)
		changes = compareMembers(changes, path, byName(oldList), byName(newList))
		if len(changes) == before {
			changes = append(changes, fieldChange{path, changeReorder, nil, nil})
		}
		return changes
	}
	return append(changes, fieldChange{path, changeReplace, a, b})
}

func compareMembers(changes []fieldChange, path string, a, b map[string]any) []fieldChange {
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		changes = compareValues(changes, path+step(path, key), a[key], b[key])
	}
	return changes
}

var plainKey = regexp.MustCompile(`^[a-z][A-Za-z]*$`)

// step returns the last part of a path. The key of an element that has a name begins with a bracket.
func step(path, key string) string {
	switch {
	case strings.HasPrefix(key, "["):
		return key
	case !plainKey.MatchString(key):
		return "[" + key + "]"
	case path == "":
		return key
	}
	return "." + key
}

// hasNames reports whether all elements of a list have a name of their own.
func hasNames(list []any) bool { return len(byName(list)) == len(list) }

// byName returns the elements that have a name by `[name]`.
func byName(list []any) map[string]any {
	elements := make(map[string]any, len(list))
	for _, element := range list {
		members, _ := element.(map[string]any)
		if name, ok := members["name"].(string); ok {
			elements["["+name+"]"] = element
		}
	}
	return elements
}

func (d *difference) print(w io.Writer) {
	for _, s := range d.Added {
		fmt.Fprintf(w, "+ %s (%s)\n", s.Ref, s.Origin)
	}
	for _, s := range d.Changed {
		fmt.Fprintf(w, "~ %s (%s)\n", s.Ref, s.Origin)
		for i := range s.Fields {
			fmt.Fprintf(w, "    %s\n", &s.Fields[i])
		}
	}
	for _, s := range d.Removed {
		fmt.Fprintf(w, "- %s (%s)\n", s.Ref, s.Origin)
	}
	for _, r := range d.Rejected {
		fmt.Fprintf(w, "! rejected: %s", r.Origin)
		if len(r.Stale) > 0 {
			fmt.Fprintf(w, "; until the injector restarts, it serves the last valid version of %s", strings.Join(r.Stale, ", "))
		}
		fmt.Fprintln(w)
		for _, text := range r.Errors {
			fmt.Fprintf(w, "    %s\n", text)
		}
	}
	if len(d.Workloads) > 0 {
		fmt.Fprint(w, "\nWorkloads whose next pods this changes, with their state afterwards:\n")
		printReport(w, d.Workloads, false)
	}
}

func (c *fieldChange) String() string {
	before, after := inline(c.Old), inline(c.New)
	text := ""
	switch {
	case c.Change == changeAdd:
		text = "+ " + c.Path + ": " + after
	case c.Change == changeRemove:
		text = "- " + c.Path + ": " + before
	case c.Change == changeReorder:
		text = "~ " + c.Path + ": reordered"
	case before == after:
		text = "~ " + c.Path + ": changed, values hidden"
	default:
		text = "~ " + c.Path + ": " + before + " -> " + after
	}
	return printable(text)
}

// inline returns a value in one line.
func inline(value any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(text.String())
}
