package conf

import (
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s-sidecar-injector/conf/params"
	"k8s-sidecar-injector/conf/podrules"
)

// decodePlaceholders returns a string that has placeholders as a *params.Text, if they are allowed in
// its field. It decodes any other string as usual.
func (d *decoder) decodePlaceholders(path *field.Path, want reflect.Type, written string) any {
	d.warnOfNames(path, written)
	text, err := d.scope.Parse(path, written)
	switch {
	case err != nil:
		return d.fault(field.Invalid(path, field.OmitValueType{}, err.Error()))
	case text == nil:
		return d.decodeAs(path, want, written)
	case len(text.Numbers) > 0:
		if why := d.forbiddenReason(text); why != "" {
			return d.fault(field.Forbidden(path, why))
		}
		var why string
		if text.As, why = wantedType(want, d.scope.Whole(text)); why != "" {
			return d.fault(field.Forbidden(path, why))
		}
	}
	last := d.steps[len(d.steps)-1]
	text.Required = last == "subPath" || last == "subPathExpr" // an empty one is the whole volume
	d.texts = append(d.texts, text)
	return text
}

// wantedType returns what a text must become in a field of a Go type, or why it may not be there. The
// given type is that of the parameter which is the whole text.
func wantedType(field reflect.Type, whole params.Type) (as params.Type, forbidden string) {
	const alone = " is allowed here, with nothing beside it"
	integer := field.Kind() >= reflect.Int && field.Kind() <= reflect.Uint64
	switch {
	case whole == params.Int && (integer || field == reflect.TypeFor[intstr.IntOrString]()),
		whole == params.Bool && field.Kind() == reflect.Bool:
		return whole, ""
	case field == reflect.TypeFor[intstr.IntOrString](), field == reflect.TypeFor[metav1.Time]():
	case field == reflect.TypeFor[resource.Quantity]():
		if whole != params.Quantity && whole != params.Int {
			return "", "only a parameter of type quantity or int" + alone
		}
	case integer:
		return "", "only a parameter of type int" + alone
	case field.Kind() == reflect.Bool:
		return "", "only a parameter of type bool" + alone
	case field.Kind() != reflect.String:
		return "", "a placeholder is a string, a number or a boolean: put placeholders into the list or object instead"
	}
	return params.String, ""
}

const (
	nodeAccess = "placeholders are not allowed here: the field controls access to the node"
	identity   = "placeholders are not allowed here: the field identifies the element"
	wholeField = "placeholders are not allowed in this field"
	unbounded  = "only parameters with a pattern or an enum are allowed in a path of the node"
)

// forbiddenReason returns why the current string may not have placeholders, or an empty string. A pod
// decides neither what merging compares nor what access to the node a sidecar has.
func (d *decoder) forbiddenReason(text *params.Text) string {
	steps := d.steps
	first, last := steps[0], steps[len(steps)-1]
	switch {
	case slices.Contains([]string{"annotations", "extendAnnotations"}, first) && podrules.RuntimeAnnotation(last):
		return nodeAccess
	case len(steps) > 1 && slices.Contains(overlaidMaps(), first):
		return ""
	case len(steps) == 1, first == "appliesTo", first == "allowedNamespaces":
		return wholeField
	case first == "copyFrom" && last != "from":
		return identity
	case slices.Contains(steps, "securityContext"):
		return d.forbiddenIdentity(text)
	case first == "podSecurityContext",
		slices.Contains([]string{"hostPort", "hostIP", "host", "mountPropagation"}, last):
		return nodeAccess
	case slices.Contains([]string{"volumeName", "restartPolicy", "whenUnsatisfiable"}, last),
		last == "topologyKey" && first == "topologySpreadConstraints",
		last == "name" && identifies(steps):
		return identity
	case strings.HasSuffix(strings.Join(steps, "."), ".hostPath.path") && !d.scope.Bounded(text):
		return unbounded
	}
	return ""
}

// forbiddenIdentity is forbiddenReason in a security context. The bounds keep the values of a pod at the Pod Security
// level of the samples, which Load checks: only root is less restricted than other users.
func (d *decoder) forbiddenIdentity(text *params.Text) string {
	last := len(d.steps) - 1
	least, open := map[string]string{"runAsUser": "1", "runAsGroup": "0"}[d.steps[last]]
	switch {
	case !open || d.steps[last-1] != "securityContext":
		return nodeAccess
	case !d.scope.AtLeast(text, least):
		return "only a parameter of type int with a min of at least " + least + " and a max is allowed here"
	}
	return ""
}

// identifies reports whether merging identifies an element by the name at these steps. The element is
// in a list of the definition or in a list of a container.
func identifies(steps []string) bool {
	if len(steps) == 3 {
		return steps[0] != "tolerations" && steps[0] != "hostAliases"
	}
	if len(steps) == 4 {
		return steps[0] == "dnsConfig"
	}
	return len(steps) == 5 && slices.Contains([]string{"env", "volumeMounts", "volumeDevices"}, steps[2])
}
