package mutate

import (
	"fmt"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
)

// annotationNames returns the names in the annotation namespace, without those of parameters.
func annotationNames() []string {
	return []string{requestKey, statusKey, injectedKey}
}

// warnOfAnnotations warns of annotations in the annotation namespace that have no meaning. It never ends a review.
func (r *review) warnOfAnnotations() (Reason, error) {
	prefix := r.policy.key("")
	var names []string
	for key := range r.request.Object.metadata().Annotations {
		if name, own := strings.CutPrefix(key, prefix); own && !knownAnnotation(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names[:min(len(names), maxListed)] {
		text := fmt.Sprintf("annotation %s is unknown", quoted(prefix+name))
		if nearest := nearestAnnotation(name); nearest != "" {
			text += ": did you mean " + quoted(prefix+nearest) + "?"
		}
		r.decision.Warnings = append(r.decision.Warnings, text)
	}
	return "", nil
}

func knownAnnotation(name string) bool {
	return strings.HasPrefix(name, parameterKey) || slices.Contains(annotationNames(), name)
}

// nearestAnnotation returns the name that a misspelled one stands for, or an empty string.
func nearestAnnotation(name string) string {
	word, parameter, dotted := strings.Cut(name, ".")
	isParam := func(word string) bool { return strings.HasPrefix(strings.ToLower(word), "param") }
	if dotted && (isParam(word) || conf.Nearest(word, slices.Values([]string{"param"})) != "") {
		return parameterKey + parameter
	}
	return conf.Nearest(name, slices.Values(annotationNames()))
}
