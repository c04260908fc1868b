package cli

import (
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"k8s-sidecar-injector/kube"
)

// eventOptions enable Events.
type eventOptions struct {
	enabled bool
}

func (o *eventOptions) AddFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.enabled, "events", false,
		"record a Kubernetes Event on the owner of a pod that is denied or that requests a sidecar that does not exist")
	bindEnv(flags, "events", "SIDECAR_INJECTOR_EVENTS") // other programs use EVENTS
}

// newRecorder returns the recorder, or nil if it is disabled.
func (o *eventOptions) newRecorder(cluster *clusterOptions, log zerolog.Logger) (*recorder, error) {
	if !o.enabled {
		return nil, nil //nolint:nilnil // disabled
	}
	config, err := cluster.newConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = eventQPS, eventBurst
	client, _, err := kube.NewRESTClient(config, kube.Core())
	if err != nil {
		return nil, err
	}
	return newRecorder(client, log), nil
}
