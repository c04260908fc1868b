package conf

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s-sidecar-injector/conf/podrules"
)

// standIn is a leaf with holes on its way through the shape: what stands there depends on
// what the field wants.
type standIn struct {
	text string
	// whole is the parameter that is the whole leaf, or nil.
	whole *Parameter
}

// sample is a definition whose holes are filled so that it can be checked.
type sample struct {
	needs   *needs
	written tree
	tree    tree
	// bare are the leaves that became a number or a boolean, by path.
	bare map[string]bool
	// stands are the values in each leaf that no default fills, by path: they are not known yet.
	stands map[string][]int
	// alone are the leaves that are nothing but a hole, by path.
	alone map[string]bool
	// filled is how many bytes the values take in all places.
	filled int
	faults field.ErrorList
	// doubtful are faults of leaves whose values are not known yet.
	doubtful field.ErrorList
}

// newSample looks for holes. Its tree is the given one if there are none. The parameters are read
// as far as they can be; what is wrong with them is for the shape and validate to find.
func newSample(written tree) *sample {
	s := &sample{needs: newNeeds(readParameters(written)), written: written, tree: written}
	if s.needs.parameters != nil || mentionsPod(written) {
		s.fill()
	}
	return s
}

// fill fills the holes.
func (s *sample) fill() {
	written := s.written
	s.bare, s.stands, s.alone = make(map[string]bool), make(map[string][]int), make(map[string]bool)
	s.tree = make(tree, len(written))
	for _, key := range slices.Sorted(maps.Keys(written)) {
		s.tree[key] = written[key]
		if key != "parameters" {
			s.tree[key] = s.stand(&leaf{step: key}, written[key])
		}
	}
	sortFaults(s.faults)
}

// holds tells whether there may be holes.
func (s *sample) holds() bool {
	return len(s.needs.fields) > 0 || s.needs.parameters != nil
}

func readParameters(written tree) map[string]parameter {
	if written["parameters"] == nil {
		return nil
	}
	var check shape
	kept, _ := check.check(field.NewPath("parameters"), reflect.TypeFor[map[string]parameter](), written["parameters"]).(tree)
	d, err := typed(tree{"parameters": kept})
	if err != nil {
		return nil
	}
	return d.Parameters
}

// mentionsPod tells whether any text may have a field of the pod in it.
func mentionsPod(value any) bool {
	switch value := value.(type) {
	case tree:
		for _, member := range value {
			if mentionsPod(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, mentionsPod)
	case string:
		return strings.Contains(value, "${"+podPrefix)
	}
	return false
}

// leaf is a place in a definition. Its paths are made only where they are needed: they can be long.
type leaf struct {
	within *leaf
	step   string // a key or an index
	listed bool   // it is an index
}

func (l *leaf) path() string {
	if l == nil {
		return ""
	}
	return l.within.path() + step(l.step)
}

func (l *leaf) field() *field.Path {
	if l == nil {
		return nil
	}
	if n, err := strconv.Atoi(l.step); l.listed && err == nil {
		return index(l.within.field(), n)
	}
	return child(l.within.field(), l.step)
}

// stand gives the value with its holes filled.
func (s *sample) stand(at *leaf, value any) any {
	switch value := value.(type) {
	case tree:
		filled := make(tree, len(value))
		for _, key := range slices.Sorted(maps.Keys(value)) {
			filled[key] = s.stand(&leaf{within: at, step: key}, value[key])
		}
		if _, holed := filled["value"].(standIn); holed && value["valueFrom"] != nil {
			s.faults = append(s.faults, field.Forbidden(at.field().Child("value"), "not together with valueFrom"))
		}
		return filled
	case []any:
		filled := make([]any, len(value))
		for i, element := range value {
			filled[i] = s.stand(&leaf{within: at, step: strconv.Itoa(i), listed: true}, element)
		}
		return filled
	case string:
		return s.standLeaf(at, value)
	}
	return value
}

func (s *sample) standLeaf(at *leaf, text string) any {
	pieces, bad := s.needs.split(text)
	if bad != "" {
		_, err := parsePodField(strings.Trim(bad, "${}"))
		s.faults = append(s.faults, field.Invalid(at.field(), bad, err.Error()))
		return text
	}
	if pieces == nil {
		return text
	}
	path := at.path()
	if strings.HasSuffix(path, ".hostPath.path") && !s.bounded(pieces) {
		s.faults = append(s.faults, field.Invalid(at.field(), text, "only parameters with a pattern or an enum can stand in a path of the node"))
	}
	if why := closed(path); why != "" && slices.ContainsFunc(pieces, func(p piece) bool { return p.need >= 0 }) {
		s.faults = append(s.faults, field.Invalid(at.field(), text, "no parameter and nothing of the pod can stand here: "+why))
	}
	if s.filled += s.size(pieces); s.filled > maxFilled {
		s.faults = append(s.faults, field.Forbidden(at.field(), fmt.Sprintf("the defaults of parameters take more than %d KiB in all places", maxFilled>>10)))
		return text
	}
	return s.standPieces(path, pieces)
}

// maxFilled is how many bytes the values of parameters may take in all places of a definition. An API server
// stores no pod above it.
const maxFilled = 3 << 19

// size returns how many bytes the values take in a text.
func (s *sample) size(pieces []piece) int {
	size := 0
	for _, p := range pieces {
		if p.need >= 0 {
			value, _ := s.needs.stand(p.need)
			size += len(value)
		}
	}
	return size
}

func (s *sample) standPieces(path string, pieces []piece) standIn {
	var text strings.Builder
	var made standIn
	for _, p := range pieces {
		if p.need < 0 {
			text.WriteString(p.literal)
			continue
		}
		value, byDefault := s.needs.stand(p.need)
		text.WriteString(value)
		if !byDefault && !slices.Contains(s.stands[path], p.need) {
			s.stands[path] = append(s.stands[path], p.need)
		}
		if len(pieces) == 3 && pieces[0].literal+pieces[2].literal == "" {
			s.alone[path] = true
			if p.need < len(s.needs.parameters) {
				made.whole = &s.needs.parameters[p.need]
			}
		}
	}
	made.text = text.String()
	return made
}

// bounded tells whether the author has bounded all that stands in a text.
func (s *sample) bounded(pieces []piece) bool {
	return !slices.ContainsFunc(pieces, func(p piece) bool {
		return p.need >= len(s.needs.parameters) || p.need >= 0 && s.needs.parameters[p.need].Pattern == "" && s.needs.parameters[p.need].Enum == nil
	})
}

// shape is what the shape leaves of the tree, which always decodes, and what it found: without the
// doubtful faults.
func (s *sample) shape() (tree, *shape) {
	check := &shape{bare: s.bare}
	kept, _ := check.check(nil, reflect.TypeFor[definition](), s.tree).(tree)
	check.faults.first = s.known(check.faults.first)
	return kept, check
}

// known sets the doubtful faults aside. What is forbidden is so whatever the value.
func (s *sample) known(faults field.ErrorList) field.ErrorList {
	return slices.DeleteFunc(faults, func(fault *field.Error) bool {
		doubtful := fault.Type != field.ErrorTypeForbidden && s.unknown(fault) != nil
		if doubtful {
			s.doubtful = append(s.doubtful, fault)
		}
		return doubtful
	})
}

// unknown are the values that are not known in the field of a fault: in the leaf itself and, as a
// request is held to its limit, in that.
func (s *sample) unknown(fault *field.Error) []int {
	path := leafPath(fault.Field)
	limit := strings.Replace(path, ".resources.requests.", ".resources.limits.", 1)
	if limit == path {
		return s.stands[path]
	}
	return slices.Concat(s.stands[path], s.stands[limit])
}

// step is a key as a part of the path of a leaf. A dot in it is none between steps.
func step(key string) string {
	return markedStep(pathKey(key))
}

func markedStep(key string) string {
	return "." + strings.ReplaceAll(key, ".", "\x00")
}

// leafPath spells a field path as holes are looked up: a dot before each step.
func leafPath(path string) string {
	var steps strings.Builder
	for path != "" {
		ends := ".["
		if path[0] == '[' {
			ends = "]"
		}
		path = strings.TrimLeft(path[:1], ".[") + path[1:]
		end := stepEnd(path, ends)
		steps.WriteString(markedStep(path[:end]))
		path = path[end:]
		if ends == "]" {
			path = strings.TrimPrefix(path, "]")
		}
	}
	return steps.String()
}

// stepEnd is the length of the step that a path begins with. A marked key may have any character.
func stepEnd(path, ends string) int {
	marked := 0
	if rest, found := strings.CutPrefix(path, keyMark); found {
		marked = strings.Index(rest, keyMark) + 2*len(keyMark)
	}
	if end := strings.IndexAny(path[marked:], ends); end >= 0 {
		return marked + end
	}
	return len(path)
}

// closed tells why a leaf can have no holes: what merging tells elements by, and what gives power
// over a node, is the author's alone.
func closed(path string) string {
	steps := strings.Split(path[1:], ".")
	last := steps[len(steps)-1]
	switch {
	case steps[0] == "annotations" && podrules.RuntimeAnnotation(strings.ReplaceAll(last, "\x00", ".")):
		return "it would give power over the node"
	case slices.Contains(overlaidMaps(), steps[0]):
		return ""
	case len(steps) == 1, steps[0] == "appliesTo", steps[0] == "allowedNamespaces":
		return "the field is the author's"
	case slices.Contains(steps, "securityContext"), last == "hostPort", last == "hostIP", last == "host", last == "mountPropagation":
		return "it would give power over the node"
	case last == "volumeName", last == "restartPolicy", last == "name" && tellingName(steps):
		return "elements are told by it"
	}
	return ""
}

// tellingName tells a name by which merging tells elements: that of an element of a list at the
// top, or of a list of a container that merging looks into.
func tellingName(steps []string) bool {
	if len(steps) == 3 {
		return steps[0] != "tolerations" && steps[0] != "hostAliases"
	}
	return len(steps) == 5 && slices.Contains([]string{"env", "volumeMounts", "volumeDevices"}, steps[2])
}

// free tells a leaf for which every text is good, or whose text is looked at where it is filled.
func free(path string) bool {
	steps := strings.Split(path[1:], ".")
	behind := func(n int, name string) bool { return len(steps) > n && steps[len(steps)-1-n] == name }
	return steps[0] == "annotations" || behind(1, "args") || behind(1, "command") || behind(0, "value") && behind(2, "env") ||
		behind(0, "mountPath") && behind(2, "volumeMounts")
}
