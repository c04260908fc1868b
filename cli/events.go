package cli

import (
	"fmt"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"

	"k8s-sidecar-injector/kube"
)

// eventFlags say whether the owners of pods are told by Events.
type eventFlags struct {
	flagSet
	events bool
}

func (e *eventFlags) define(flags flagSet) {
	e.flagSet = flags
	flags.BoolVar(&e.events, "events", false, "record a Kubernetes Event on the owner of a pod that is denied, or that asked for a sidecar that does not exist")
	flags.env("events", "SIDECAR_INJECTOR_EVENTS") // EVENTS alone may mean anything
}

// newRecorder gives the recorder of events; nil where --events turns it off.
func (e *eventFlags) newRecorder(cluster *clusterFlags, log zerolog.Logger) (*recorder, error) {
	if !e.events {
		return nil, nil //nolint:nilnil // no recorder is what was asked for
	}
	config, err := cluster.config("events")
	faults := multierror.Append(nil, err, cluster.check())
	if err := listed(faults); err != nil {
		return nil, err
	}
	config.QPS, config.Burst = mostWrites, mostAtOnce
	client, _, err := kube.NewRESTClient(config, kube.Core())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cluster.named("kubeconfig"), err)
	}
	return newRecorder(client, log), nil
}
