package cli

import (
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/mutate"
)

// policyOptions select the pods that are injected, and what happens to pods that cannot be injected.
type policyOptions struct {
	flags             *pflag.FlagSet
	ignoredNamespaces []string
	onUnknown         string
	onConflict        string
}

func (o *policyOptions) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringSliceVar(&o.ignoredNamespaces, "ignored-namespaces",
		[]string{"kube-system", "kube-public", "kube-node-lease"}, "namespaces whose pods are never injected")
	bindEnv(flags, "ignored-namespaces", "IGNORED_NAMESPACES")
	flags.StringVar(&o.onUnknown, "on-unknown", string(mutate.Admit),
		"admit or deny a pod that requests a sidecar that does not exist")
	bindEnv(flags, "on-unknown", "ON_UNKNOWN")
	flags.StringVar(&o.onConflict, "on-conflict", string(mutate.Deny),
		"admit or deny a pod that conflicts with the sidecar")
	bindEnv(flags, "on-conflict", "ON_CONFLICT")
}

func (o *policyOptions) Validate() error {
	var errs []error
	for _, name := range o.namespaces() {
		errs = append(errs, validateName(o.flags, "ignored-namespaces", name, validation.IsDNS1123Label))
	}
	errs = append(errs, o.validateAction("on-unknown", o.onUnknown), o.validateAction("on-conflict", o.onConflict))
	return aggregate(errs...)
}

// namespaces returns the ignored namespaces without empty names.
func (o *policyOptions) namespaces() (names []string) {
	for _, name := range o.ignoredNamespaces {
		if name != "" {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

func (o *policyOptions) validateAction(flag, action string) error {
	if _, err := mutate.ParseAction(action); err != nil {
		return flagError(o.flags, flag, "%w", err)
	}
	return nil
}

// newPolicy returns the policy of valid options.
func (o *policyOptions) newPolicy(annotationNamespace string) *mutate.Policy {
	return &mutate.Policy{
		AnnotationNamespace: annotationNamespace,
		IgnoredNamespaces:   o.namespaces(),
		OnUnknown:           mutate.Action(o.onUnknown),
		OnConflict:          mutate.Action(o.onConflict),
	}
}
