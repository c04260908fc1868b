package cli

import (
	"context"
	"errors"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// serveOptions are the options of the daemon.
type serveOptions struct {
	flags       *pflag.FlagSet
	definitions definitionOptions
	rules       ruleOptions
	policy      policyOptions
	configMaps  configMapOptions
	namespaces  namespaceOptions
	cluster     clusterOptions
	logging     loggingOptions
	ports       portOptions
	tls         tlsOptions
	events      eventOptions
	drainDelay  time.Duration
}

func newServe(streams IOStreams) *cobra.Command {
	o := new(serveOptions)
	command := &cobra.Command{
		Use:   programName,
		Short: "A mutating admission webhook that adds sidecars to pods",
		Long: "Serves the webhook. A pod with the annotation injector.tumblr.com/request: NAME gets the containers,\n" +
			"volumes and env of the sidecar NAME. Start with --dev to try it.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return o.run(command.Context(), streams)
		},
	}
	o.AddFlags(command.Flags())
	return command
}

func (o *serveOptions) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	o.definitions.AddFlags(flags)
	o.rules.AddFlags(flags)
	o.policy.AddFlags(flags)
	o.configMaps.AddFlags(flags)
	o.namespaces.AddFlags(flags)
	o.cluster.AddFlags(flags)
	o.logging.AddFlags(flags)
	o.ports.AddFlags(flags)
	o.tls.AddFlags(flags)
	o.events.AddFlags(flags)
	flags.DurationVar(&o.drainDelay, "drain-delay", 5*time.Second,
		"how long reviews are served after SIGTERM while /readyz fails")
	bindEnv(flags, "drain-delay", "DRAIN_DELAY")
}

// gcPercent makes the garbage collector run before the heap has grown by half. Under attack, most of the
// heap is garbage. Unlike a limit of memory, it costs the same per review however many definitions there are.
const gcPercent = 50

// run serves until SIGTERM or SIGINT. A second signal ends the process at once.
func (o *serveOptions) run(ctx context.Context, streams IOStreams) error {
	ctx, stop := untilSignal(ctx)
	defer stop()

	if streams.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	err := readEnvironment(o.flags, streams.Getenv)
	log, stderr := o.logging.newLogger(streams.ErrOut, o.tls.dev)
	defer stderr.close()
	o.Complete(log)
	if err := aggregate(err, o.Validate()); err != nil {
		return err
	}
	d, err := o.newDaemon(ctx, log, stderr)
	if err != nil {
		return err
	}
	return d.run(ctx)
}

// untilSignal returns a context that ends at SIGTERM or SIGINT. A second signal ends the process.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	signalled, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(signalled, func() {
		stop() // before the shutdown is visible, so that the next signal has its default effect
		cancel()
	})
	return ctx, stop
}

// Complete sets the options that depend on others.
func (o *serveOptions) Complete(log zerolog.Logger) {
	o.ports.Complete(log)
	o.tls.Complete()
	if o.tls.dev && !o.flags.Changed("drain-delay") {
		o.drainDelay = 0 // --dev has no clients to drain
	}
}

func (o *serveOptions) Validate() error {
	var drainErr error
	if o.drainDelay < 0 {
		drainErr = flagError(o.flags, "drain-delay", "must not be negative")
	}
	clusterErr := o.cluster.Validate(map[string]bool{
		"configmap-labels": o.configMaps.enabled(),
		namespaceDefaults:  o.namespaces.enabled,
		"self-managed-tls": o.tls.selfManaged.enabled,
		"events":           o.events.enabled,
	})
	return aggregate(
		o.logging.Validate(), o.policy.Validate(), o.rules.Validate(), o.validateSources(), o.configMaps.Validate(),
		clusterErr, o.ports.Validate(), o.tls.Validate(), drainErr,
	)
}

// validateSources returns an error if there is no source of definitions.
func (o *serveOptions) validateSources() error {
	if o.definitions.exists() || o.configMaps.enabled() || o.tls.dev {
		return nil
	}
	return errors.New("no sidecar definitions; set --config-directory, or create a directory conf here, or set " +
		"--configmap-labels for definitions in ConfigMaps, or --dev to serve built-in samples")
}
