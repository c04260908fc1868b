package cli

import (
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/conf"
)

// ruleOptions restrict what definitions may contain.
type ruleOptions struct {
	flags               *pflag.FlagSet
	privilegedSources   []string
	annotationNamespace string
}

func (o *ruleOptions) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringSliceVar(&o.privilegedSources, "privileged-sources", []string{"files"},
		"sources whose definitions may need the Pod Security level privileged: files, configmaps; may be empty")
	bindEnv(flags, "privileged-sources", "SIDECAR_INJECTOR_PRIVILEGED_SOURCES")
	flags.StringVar(&o.annotationNamespace, "annotation-namespace", "injector.tumblr.com",
		"prefix of the annotations request, status and injected")
	bindEnv(flags, "annotation-namespace", "ANNOTATION_NAMESPACE")
}

func (o *ruleOptions) Validate() error {
	_, err := o.privilegedKinds()
	return aggregate(err,
		validateName(o.flags, "annotation-namespace", o.annotationNamespace, validation.IsDNS1123Subdomain))
}

func (o *ruleOptions) privilegedKinds() (kinds []conf.Kind, err error) {
	var errs []error
	for _, name := range o.privilegedSources {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		kind, err := conf.ParseKind(name)
		if err != nil {
			errs = append(errs, flagError(o.flags, "privileged-sources", "%w", err))
			continue
		}
		kinds = append(kinds, kind)
	}
	return kinds, aggregate(errs...)
}

// newRules returns the rules of valid options.
func (o *ruleOptions) newRules() conf.Rules {
	kinds, _ := o.privilegedKinds()
	rules := conf.Consent(kinds...)
	rules.AnnotationNamespace = o.annotationNamespace
	return rules
}
