package conf

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s-sidecar-injector/conf/params"
)

// mostWarnings is how many warnings of a definition are kept.
const mostWarnings = 20

// warn returns the first warnings about a valid definition. The outline has the lines of the definition. It is empty
// if the definition inherits.
func (p *parsed) warn(source *decoded, d *definition, lines outline) []*Error {
	var warnings []*Error
	for _, fault := range source.warnings(d) {
		if len(warnings) == mostWarnings {
			return append(warnings, p.fault(0, errors.New("there are more warnings")))
		}
		shown := withoutValue(fault)
		warnings = append(warnings, p.fault(lines.line(fault.Field), (*warning)(shown)))
	}
	return warnings
}

// warnings returns the warnings about a definition as faults, of which only the field and the detail matter. Those
// that are mistakes come first.
func (d *decoded) warnings(filled *definition) field.ErrorList {
	warnings := slices.Concat(d.unresolved, d.unusedParameters(), warnOfJobs(filled))
	for _, list := range filled.containerLists() {
		for i := range list.containers {
			if len(warnings) > mostWarnings {
				return warnings
			}
			at := field.NewPath(list.name).Index(i)
			warnings = append(warnings, d.warnOfContainer(at, &list.containers[i])...)
		}
	}
	return warnings
}

// warnOfJobs warns of containers without a decision about pods that run to completion, and of a decision without
// containers.
func warnOfJobs(d *definition) field.ErrorList {
	at, regular := field.NewPath("inJobs"), len(d.PrependContainers)+len(d.Containers) > 0
	switch {
	case regular && d.InJobs == "":
		return field.ErrorList{invalid(at, "not set, so pods of Jobs do not complete while the containers run: set it to "+
			"native or skip, or to keep if they exit")}
	case !regular && (d.InJobs == InJobsNative || d.InJobs == InJobsKeep):
		return field.ErrorList{invalid(at, "has no effect without containers and prependContainers")}
	}
	return nil
}

// warnOfContainer warns of an image whose content may change, and of missing resource requests. A limit is the default
// of a request.
func (d *decoded) warnOfContainer(at *field.Path, c *corev1.Container) field.ErrorList {
	var warnings field.ErrorList
	image := at.Child("image")
	if why := looseImage(c.Image); why != "" && !d.isUnknown(image) {
		warnings = append(warnings, invalid(image, why))
	}
	var missing []string
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		_, requested := c.Resources.Requests[name]
		_, limited := c.Resources.Limits[name]
		if !requested && !limited {
			missing = append(missing, string(name))
		}
	}
	if missing != nil {
		warnings = append(warnings, invalid(at.Child("resources"), "no request for "+strings.Join(missing, " and ")+
			", which autoscaling and quotas need"))
	}
	return warnings
}

// warning is formatted without the type of the fault.
type warning field.Error

// Error implements error.
func (w *warning) Error() string { return w.Field + ": " + w.Detail }

func invalid(at *field.Path, detail string) *field.Error {
	return field.Invalid(at, field.OmitValueType{}, detail)
}

// looseImage returns why an image may be another one tomorrow, or an empty string.
func looseImage(image string) string {
	name := image[strings.LastIndexByte(image, '/')+1:]
	_, tag, tagged := strings.Cut(name, ":")
	switch {
	case strings.Contains(image, "@"):
		return ""
	case !tagged:
		return "the image has neither a tag nor a digest"
	case tag == latest:
		return "the tag latest may be another image tomorrow"
	}
	return ""
}

// isUnknown reports whether a field has a placeholder without a default.
func (d *decoded) isUnknown(at *field.Path) bool {
	path := at.String()
	return slices.ContainsFunc(d.texts, func(t *params.Text) bool {
		return t.Path.String() == path && len(d.scope.Unknown(t)) > 0
	})
}

// unusedParameters warns of parameters without a placeholder.
func (d *decoded) unusedParameters() field.ErrorList {
	used := make(map[int]bool)
	for _, text := range d.texts {
		for _, number := range text.Numbers {
			used[number] = true
		}
	}
	var warnings field.ErrorList
	for number, p := range d.scope.Declared() {
		if !used[number] {
			warnings = append(warnings, invalid(member(field.NewPath("parameters"), p.Name),
				fmt.Sprintf("the parameter is not used; there is no ${%s}", p.Name)))
		}
	}
	return warnings
}

// nameInBraces matches `${name}` and `$${name}` whose name may be that of a parameter or a field of the pod.
var nameInBraces = regexp.MustCompile(`\$?\$\{([\w.-]+)\}`)

// warnOfNames adds a warning for each `${name}` in a string that is neither a parameter nor a field of the pod. Pods
// get it as written. Names in upper case are variables of a shell. A definition without parameters has no warnings.
func (d *decoder) warnOfNames(path *field.Path, text string) {
	declared := d.scope.Declared()
	if len(declared) == 0 || len(declared) > maxParameters || len(d.unresolved) > mostWarnings {
		return
	}
	known := params.PodFields()
	for i := range declared {
		known = append(known, declared[i].Name)
	}
	for _, match := range nameInBraces.FindAllStringSubmatch(text, mostWarnings) {
		name := match[1]
		if strings.HasPrefix(match[0], "$$") || name == strings.ToUpper(name) || slices.Contains(known, name) ||
			strings.HasPrefix(name, "pod.") { // a fault if it is no field of a pod
			continue
		}
		nearest := Nearest(name, slices.Values(known))
		if nearest == "" && strings.Contains(name, ".") { // of another template language
			continue
		}
		shown := "a name in ${}"
		if fieldPattern.MatchString(name) {
			shown = match[0]
		}
		detail := shown + " is neither a parameter nor a field of the pod, so pods get it as written"
		if nearest != "" {
			detail += fmt.Sprintf(": did you mean ${%s}?", nearest)
		}
		d.unresolved = append(d.unresolved, invalid(path, detail))
	}
}
