package cli

import (
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/mutate"
)

// policyOptions select the pods that are injected, and what happens to pods that cannot be injected.
type policyOptions struct {
	ignoredNamespaces []string
	onUnknown         string
	onConflict        string
	completed         *mutate.Policy // set by Complete
}

func (o *policyOptions) AddFlags(flags *pflag.FlagSet) {
	flags.StringSliceVar(&o.ignoredNamespaces, "ignored-namespaces",
		[]string{"kube-system", "kube-public", "kube-node-lease"},
		"namespaces whose pods are never injected [$IGNORED_NAMESPACES]")
	flags.StringVar(&o.onUnknown, "on-unknown", string(mutate.Admit),
		"admit or deny a pod that requests a sidecar that does not exist [$ON_UNKNOWN]")
	flags.StringVar(&o.onConflict, "on-conflict", string(mutate.Deny),
		"admit or deny a pod that conflicts with the sidecar [$ON_CONFLICT]")
}

// Complete validates the flags and sets the policy.
func (o *policyOptions) Complete(e *flagErrors, annotationNamespace string) {
	policy := &mutate.Policy{AnnotationNamespace: annotationNamespace}
	for _, name := range o.ignoredNamespaces {
		if name == "" {
			continue
		}
		name = strings.TrimSpace(name)
		e.checkName("ignored-namespaces", name, validation.IsDNS1123Label)
		policy.IgnoredNamespaces = append(policy.IgnoredNamespaces, name)
	}
	var err error
	policy.OnUnknown, err = mutate.ParseAction(o.onUnknown)
	e.add("on-unknown", err)
	policy.OnConflict, err = mutate.ParseAction(o.onConflict)
	e.add("on-conflict", err)
	o.completed = policy
}
