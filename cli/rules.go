package cli

import (
	"fmt"
	"strings"

	"github.com/hashicorp/go-multierror"

	"k8s-sidecar-injector/conf"
)

// ruleFlags are what the operator decides about definitions, for all who load them.
type ruleFlags struct {
	flagSet
	privilegedSources []string
}

func (r *ruleFlags) define(flags flagSet) {
	r.flagSet = flags
	flags.StringSliceVar(&r.privilegedSources, "privileged-sources", []string{"files"},
		"where definitions may come from that need the Pod Security level privileged: files, configmaps; may be empty")
	flags.env("privileged-sources", "SIDECAR_INJECTOR_PRIVILEGED_SOURCES")
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
	return conf.Consent(kinds...), listed(faults)
}
