package mutate_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// checkExplain compares Explain with the decision of Pod, and its results with the patch.
func (c *testCase) checkExplain(
	t *testing.T, snapshot *store.Snapshot, decision *mutate.Decision,
) []mutate.ElementResult {
	t.Helper()
	request := decode(t, c.with(t, c.object))
	request.NamespaceDefault = lookup(c.namespace)
	got, all := mutate.Explain(snapshot, c.policy, request)
	got.Parameters = nil // Pod does not keep them
	if !reflect.DeepEqual(withoutContent(got), withoutContent(*decision)) {
		t.Errorf("Explain decides: %s\n%s\nPod decides: %s\n%s", text(&got), got.Patch, text(decision), decision.Patch)
	}
	added := make([]string, 0, len(all))
	for _, e := range all {
		noted := strings.HasSuffix(strings.ToLower(e.Field), "env") && e.Why == "overrides a variable of that name in envFrom"
		if e.Added != (e.Why == "" || noted) || e.Added && got.Outcome != mutate.Injected {
			t.Errorf("%s with added %t: %q", element(&e), e.Added, e.Why)
		}
		if e.Added && e.Name != defaultContainer && !strings.HasPrefix(e.Field, "extend") {
			e.Field = strings.TrimPrefix(e.Field, "copyFrom.")
			added = append(added, element(&e))
		}
	}
	if got.Outcome != mutate.Injected {
		return all
	}
	d := newPodDiff(t, c, decision.Patch, all)
	slices.Sort(added)
	slices.Sort(d.added)
	if diff := cmp.Diff(d.added, added); diff != "" {
		t.Errorf("added elements (-in the patch +in the results):\n%s", diff)
	}
	if decision.Reason != mutate.ReasonCompleted {
		checkComplete(t, request, decision.Sidecars, all)
	}
	return all
}

const defaultContainer = "kubectl.kubernetes.io/default-container"

// withoutContent returns a decision that can be compared: each decision has its own copy of sidecars
// with parameters.
func withoutContent(d mutate.Decision) mutate.Decision {
	for _, list := range []*[]*conf.Sidecar{&d.Sidecars, &d.NotInjected} {
		*list = slices.Clone(*list)
		for i, s := range *list {
			(*list)[i] = &conf.Sidecar{Ref: s.Ref, Digest: s.Digest, Origin: s.Origin}
		}
	}
	return d
}

func element(e *mutate.ElementResult) string {
	return fmt.Sprintf("%s/%s %s %s", e.List, e.Container, e.Field, e.Name)
}

// checkComplete checks that there is one result for each element, or one per container.
func checkComplete(t *testing.T, request *mutate.Request, sidecars []*conf.Sidecar, all []mutate.ElementResult) {
	t.Helper()
	got := make(map[string]int)
	into := make(map[string]int) // containers that were added, by list
	for _, e := range all {
		if strings.HasPrefix(e.Field, "copyFrom.") { // as often as the container of the pod has the element
			continue
		}
		field := e.Field
		if e.List != "" {
			field = e.List + " " + field
		}
		got[e.Sidecar.Ref.String()+" "+field]++
		if e.Added && e.List == "" {
			into[listOf(e.Field)]++
		}
	}
	if spec := request.Object.Spec; spec != nil {
		into["containers"] += present(spec.Containers)
		into["initContainers"] += present(spec.InitContainers)
	}
	want := make(map[string]int)
	for _, s := range sidecars {
		for field, n := range elementsOf(s) {
			if !slices.Contains([]string{"prependEnv", "env", "extendEnv", "envFrom", "volumeMounts"}, field) {
				want[s.Ref.String()+" "+field] += n
				continue
			}
			for _, list := range []string{"containers", "initContainers"} {
				want[s.Ref.String()+" "+list+" "+field] += n * into[list]
			}
		}
	}
	maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("number of results (-want +got):\n%s", diff)
	}
}

func present(list mutate.Containers) int {
	return len(slices.DeleteFunc(slices.Clone(list), func(c *mutate.Container) bool { return c == nil }))
}

// elementsOf counts the elements of each field.
func elementsOf(s *conf.Sidecar) map[string]int {
	c := s.Content()
	counts := map[string]int{
		"containers": len(c.Containers), "prependContainers": len(c.PrependContainers),
		"initContainers": len(c.InitContainers), "prependInitContainers": len(c.PrependInitContainers),
	}
	for field, elements := range c.Elements {
		counts[field] = len(elements)
	}
	return counts
}

// listOf returns the list of the pod for a field of a definition.
func listOf(field string) string {
	switch field {
	case "containers", "prependContainers":
		return "containers"
	case "initContainers", "prependInitContainers":
		return "initContainers"
	}
	return ""
}

// podDiff finds what the resulting pod has in addition to the pod as received.
type podDiff struct {
	t       *testing.T
	policy  *mutate.Policy
	fields  map[string]string          // fields of the injected containers, by list/name
	own     map[string]*conf.Container // their definitions, by list/name
	prepend map[string]int             // number of prepended containers, by list
	results map[string]bool            // elements that are added, by their text
	added   []string
}

func newPodDiff(t *testing.T, c *testCase, patch []byte, all []mutate.ElementResult) *podDiff {
	t.Helper()
	d := &podDiff{
		t: t, policy: c.policy, fields: map[string]string{}, own: map[string]*conf.Container{},
		prepend: map[string]int{}, results: map[string]bool{}, added: []string{},
	}
	for _, e := range all {
		d.results[element(&e)] = e.Added || d.results[element(&e)]
		if list := listOf(e.Field); e.Added && e.List == "" && list != "" {
			d.fields[list+"/"+e.Name] = e.Field
			d.own[list+"/"+e.Name] = ownOf(e.Sidecar, e.Name)
		}
	}
	var operations, removals jsonpatch.Patch
	if err := json.Unmarshal(patch, &operations); err != nil {
		t.Fatal(err)
	}
	first := regexp.MustCompile(`^/spec/(containers|initContainers)/\d+$`)
	for _, operation := range operations {
		path, err := operation.Path()
		if err != nil {
			t.Fatal(err)
		}
		if operation.Kind() == "remove" {
			removals = append(removals, operation)
		}
		if found := first.FindStringSubmatch(path); found != nil {
			d.prepend[found[1]]++
		}
	}
	removed, err := removals.Apply(c.object)
	if err != nil {
		t.Fatal(err)
	}
	before, after := objectOf(t, removed), objectOf(t, apply(t, c.object, patch))
	d.ofPod(before, after)
	return d
}

func ownOf(s *conf.Sidecar, name string) *conf.Container {
	c := s.Content()
	for _, list := range [][]conf.Container{
		c.Containers, c.PrependContainers, c.InitContainers, c.PrependInitContainers,
	} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

func objectOf(t *testing.T, content []byte) object {
	t.Helper()
	var o object
	if err := json.Unmarshal(content, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func memberOf(o object, name string) object {
	m, _ := o[name].(object)
	return m
}

func (d *podDiff) ofPod(before, after object) {
	for _, field := range []string{"labels", "annotations"} {
		d.keys(field, memberOf(memberOf(before, "metadata"), field), memberOf(memberOf(after, "metadata"), field))
	}
	before, after = memberOf(before, "spec"), memberOf(after, "spec")
	d.keys("nodeSelector", memberOf(before, "nodeSelector"), memberOf(after, "nodeSelector"))
	for field, name := range map[string]func(object) string{
		"volumes": nameOf, "imagePullSecrets": nameOf, "tolerations": tolerationOf,
		"topologySpreadConstraints": spreadConstraintOf,
		"hostAliases":               func(o object) string { return string(encode(o)) },
	} {
		for _, e := range d.appended(field, before[field], after[field]) {
			d.add("/", field, name(e))
		}
	}
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} {
		if before[field] != true && after[field] == true {
			d.add("/", field, "true")
		}
	}
	for _, field := range []string{
		"serviceAccountName", "priorityClassName", "runtimeClassName",
		"terminationGracePeriodSeconds", "affinity",
	} {
		if value := after[field]; value != nil && !reflect.DeepEqual(value, before[field]) {
			d.add("/", field, nameOfValue(value))
		}
	}
	d.combined("dnsConfig", memberOf(before, "dnsConfig"), memberOf(after, "dnsConfig"))
	d.combined("podSecurityContext", memberOf(before, "securityContext"), memberOf(after, "securityContext"))
	d.containers("containers", before, after)
	d.containers("initContainers", before, after)
}

// combined compares an object whose lists have elements, and whose other fields are elements.
func (d *podDiff) combined(field string, before, after object) {
	for key, value := range after {
		list, isList := value.([]any)
		if !isList && before[key] == nil && value != nil {
			d.add("/", field, key)
		}
		had, _ := before[key].([]any)
		for _, e := range list[len(had):] {
			name := fmt.Sprint(e)
			if o, ok := e.(object); ok {
				name = nameOf(o)
			}
			d.add("/", field+"."+key, name)
		}
	}
}

func (d *podDiff) add(at, field, name string) {
	d.added = append(d.added, fmt.Sprintf("%s %s %s", at, field, name))
}

func (d *podDiff) keys(field string, before, after object) {
	for key := range after {
		_, had := before[key]
		ours := field == "annotations" &&
			(key == defaultContainer || strings.HasPrefix(key, d.policy.AnnotationNamespace+"/"))
		extended := d.results["/ extendAnnotations "+key] && !d.results["/ annotations "+key] && field == "annotations"
		if !had && !ours && !extended {
			d.add("/", field, key)
		}
	}
}

// appended returns the elements after the received ones, which must be unchanged.
func (d *podDiff) appended(field string, before, after any) []object {
	had, _ := before.([]any)
	has, _ := after.([]any)
	if len(has) < len(had) || !cmp.Equal(has[:len(had)], had, equateEmpty) {
		d.t.Errorf("%s was %v, is %v", field, had, has)
		return nil
	}
	return objects(has[len(had):])
}

var equateEmpty = cmp.Comparer(func(a, b []any) bool { return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) })

func objects(list []any) []object {
	all := make([]object, len(list))
	for i := range list {
		all[i], _ = list[i].(object)
	}
	return all
}

func (d *podDiff) containers(list string, before, after object) {
	had, _ := before[list].([]any)
	has, _ := after[list].([]any)
	first := d.prepend[list]
	for i, c := range objects(has) {
		at := list + "/" + nameOf(c)
		if received := i - first; received >= 0 && received < len(had) {
			if was, ok := had[received].(object); ok {
				d.variables(at, was["env"], c["env"])
				d.container(at, was["volumeMounts"], c["volumeMounts"], was["envFrom"], c["envFrom"])
			}
			continue
		}
		d.add("/", d.fields[at], nameOf(c))
		d.injected(at, c)
	}
}

// variables compares the variables of a container.
func (d *podDiff) variables(at string, before, after any) {
	had, _ := before.([]any)
	has, _ := after.([]any)
	own := func(name string) bool {
		return slices.ContainsFunc(objects(had), func(o object) bool { return nameOf(o) == name })
	}
	first := 0
	for _, e := range objects(has) {
		if name := nameOf(e); d.results[at+" prependEnv "+name] && !own(name) {
			d.add(at, "prependEnv", name)
			first++
		}
	}
	has = has[first:]
	for i := range min(len(had), len(has)) { // the oracle compares the values of the others
		if name := nameOf(objects(has)[i]); d.results[at+" extendEnv "+name] && name == nameOf(objects(had)[i]) {
			has[i] = had[i]
		}
	}
	for _, e := range d.appended(at+" env", had, has) {
		name := nameOf(e)
		if d.results[at+" env "+name] || d.results[at+" copyFrom.env "+name] || !d.results[at+" extendEnv "+name] {
			d.add(at, "env", name)
		}
	}
}

// container compares the other lists of a received container.
func (d *podDiff) container(at string, mountsBefore, mountsAfter, sourcesBefore, sourcesAfter any) {
	for _, e := range d.appended(at+" volumeMounts", mountsBefore, mountsAfter) {
		d.add(at, "volumeMounts", nameOf(e))
	}
	had, _ := sourcesBefore.([]any)
	has, _ := sourcesAfter.([]any)
	for _, e := range objects(has[:len(has)-len(had)]) {
		d.add(at, "envFrom", sourceOf(e))
	}
}

// injected compares the lists of an injected container with its definition.
func (d *podDiff) injected(at string, c object) {
	own := d.own[at]
	if own == nil {
		d.t.Errorf("no result for container %s", at)
		return
	}
	var env []any
	for _, e := range own.Elements.Of("env") {
		env = append(env, objectOf(d.t, e.JSON))
	}
	d.variables(at, env, c["env"])
	mounts, _ := c["volumeMounts"].([]any)
	for _, e := range objects(mounts[len(own.Elements.Of("volumeMounts")):]) {
		d.add(at, "volumeMounts", nameOf(e))
	}
	sources, _ := c["envFrom"].([]any)
	for _, e := range objects(sources[:len(sources)-len(own.Elements.Of("envFrom"))]) {
		d.add(at, "envFrom", sourceOf(e))
	}
}

// nameOfValue returns the name of a value. That of an object has its fields.
func nameOfValue(value any) string {
	if o, ok := value.(object); ok {
		return strings.Join(slices.Sorted(maps.Keys(o)), ", ")
	}
	return fmt.Sprint(value)
}

func nameOf(o object) string {
	name, _ := o["name"].(string)
	return name
}

func sourceOf(o object) string {
	prefix, _ := o["prefix"].(string)
	return conf.EnvFromName(prefix, nameOf(memberOf(o, "configMapRef")), nameOf(memberOf(o, "secretRef")))
}

func tolerationOf(o object) string {
	part := func(name string) string {
		text, _ := o[name].(string)
		return text
	}
	return conf.TolerationName(part("key"), part("operator"), part("value"), part("effect"))
}

func spreadConstraintOf(o object) string {
	topologyKey, _ := o["topologyKey"].(string)
	whenUnsatisfiable, _ := o["whenUnsatisfiable"].(string)
	return conf.SpreadConstraintName(topologyKey, whenUnsatisfiable)
}
