package cli

import (
	"fmt"
	"strings"

	"github.com/hashicorp/go-multierror"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/conf"
)

// ruleFlags are what the operator decides about definitions, for all who load them.
type ruleFlags struct {
	flagSet
	privilegedSources   []string
	annotationNamespace string
}

func (r *ruleFlags) define(flags flagSet) {
	r.flagSet = flags
	flags.StringSliceVar(&r.privilegedSources, "privileged-sources", []string{"files"},
		"where definitions may come from that need the Pod Security level privileged: files, configmaps; may be empty")
	flags.env("privileged-sources", "SIDECAR_INJECTOR_PRIVILEGED_SOURCES")
	flags.StringVar(&r.annotationNamespace, "annotation-namespace", "injector.tumblr.com", "what stands before the slash in the annotations request, status and injected")
	flags.env("annotation-namespace", "ANNOTATION_NAMESPACE")
}

// rules checks the flags that make the rules.
func (r *ruleFlags) rules() (conf.Rules, error) {
	var faults *multierror.Error
	var kinds []conf.Kind
	for _, name := range r.privilegedSources {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		kind, err := conf.ParseKind(name)
		if err != nil {
			faults = multierror.Append(faults, fmt.Errorf("%s: %w", r.named("privileged-sources"), err))
		}
		kinds = append(kinds, kind)
	}
	if why := validation.IsDNS1123Subdomain(r.annotationNamespace); len(why) > 0 {
		faults = multierror.Append(faults, fmt.Errorf("%s: %q: %s", r.named("annotation-namespace"), r.annotationNamespace, strings.Join(why, "; ")))
	}
	rules := conf.Consent(kinds...)
	rules.AnnotationNamespace = r.annotationNamespace
	return rules, listed(faults)
}
