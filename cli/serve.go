package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"k8s-sidecar-injector/conf"
)

// serveOptions are the options of the daemon.
type serveOptions struct {
	injection     injectionOptions
	cluster       clusterOptions
	logging       loggingOptions
	tls           tlsOptions
	tlsPort       int // 0 is any free port
	lifecyclePort int // 0 is any free port
	events        bool
	statusPage    bool
	drainDelay    time.Duration
	showVersion   bool
}

func newServe(streams IOStreams) *cobra.Command {
	o := new(serveOptions)
	command := &cobra.Command{
		Use:   programName,
		Short: "A mutating admission webhook that adds sidecars to pods",
		Long: "Serves the webhook. A pod with the annotation injector.tumblr.com/request: NAME gets the containers,\n" +
			"volumes and env of the sidecar NAME. Start with --dev to try it.",
		Example: `  # Try it with the built-in sidecars; it prints a command that sends a review
  k8s-sidecar-injector --dev

  # Definitions in files, certificate in files
  k8s-sidecar-injector --config-directory=conf/ --tls-cert-file=tls.crt --tls-key-file=tls.key

  # In a pod: definitions in ConfigMaps, certificate in a Secret
  k8s-sidecar-injector --configmap-labels=app=k8s-sidecar-injector --self-managed-tls`,
		Args: noCommand,
		RunE: func(command *cobra.Command, _ []string) error {
			if o.showVersion {
				return printVersion(streams.Out)
			}
			return o.run(command, streams)
		},
	}
	o.AddFlags(command.Flags())
	return command
}

// noCommand rejects the arguments of the root command, and suggests the command that a misspelled one stands for.
func noCommand(root *cobra.Command, args []string) error {
	err := cobra.NoArgs(root, args)
	if err == nil {
		return nil
	}
	var names []string
	for _, command := range root.Commands() {
		names = append(names, command.Name())
	}
	return fmt.Errorf("%w%s", err, conf.DidYouMean(args[0], slices.Values(names)))
}

func (o *serveOptions) AddFlags(flags *pflag.FlagSet) {
	addGroup(flags, groupServing, func(flags *pflag.FlagSet) {
		flags.IntVar(&o.tlsPort, "tls-port", 9443, "port of the webhook, HTTPS [$TLS_PORT]")
		flags.IntVar(&o.lifecyclePort, "lifecycle-port", 9000,
			"port of /healthz, /readyz, /metrics and the status page, HTTP [$LIFECYCLE_PORT]")
		flags.BoolVar(&o.statusPage, "status-page", true,
			"serve the status page and its API on the lifecycle port [$SIDECAR_INJECTOR_STATUS_PAGE]")
		flags.DurationVar(&o.drainDelay, "drain-delay", 5*time.Second,
			"how long reviews are served after SIGTERM while /readyz fails [$DRAIN_DELAY]")
	})
	o.tls.AddFlags(flags)
	o.injection.AddFlags(flags)
	o.cluster.AddFlags(flags)
	addGroup(flags, groupInjection, func(flags *pflag.FlagSet) {
		// Other programs use the variable EVENTS.
		flags.BoolVar(&o.events, "events", false,
			"record a Kubernetes Event on the owner of a pod that is denied or that requests a sidecar that does not exist "+
				"[$SIDECAR_INJECTOR_EVENTS]")
	})
	o.logging.AddFlags(flags)
	flags.BoolVar(&o.showVersion, "version", false, "print the version")
}

// run serves until SIGTERM or SIGINT. A second signal ends the process at once.
func (o *serveOptions) run(command *cobra.Command, streams IOStreams) error {
	ctx, cancel := context.WithCancel(command.Context())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals) // the next signal has its default effect
		cancel()
	}()

	if streams.Getenv("GOGC") == "" {
		defer runtime.KeepAlive(tuneGC())
	}
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.logging.Complete(e)
	log, stderr := o.logging.newLogger(streams.ErrOut, o.tls.dev)
	defer stderr.close()
	o.Complete(e, log)
	err := e.err()
	var d *daemon
	if err == nil {
		d, err = o.newDaemon(ctx, e, log, stderr)
	}
	if err != nil {
		return o.logging.logStartError(log, err)
	}
	return d.run(ctx)
}

// Complete validates all flags except those of the log.
func (o *serveOptions) Complete(e *flagErrors, log zerolog.Logger) {
	o.injection.Complete(e)
	if o.tls.dev && !e.flags.Changed("configmap-labels") {
		o.cluster.configMapLabels = "" // the default of entrypoint.sh needs a cluster
	}
	if !o.injection.hasDirectory && o.cluster.configMapLabels == "" && !o.tls.dev {
		e.addf("no sidecar definitions; set --config-directory, or create a directory conf here, or set " +
			"--configmap-labels for definitions in ConfigMaps, or --dev to serve built-in samples")
	}
	o.cluster.Complete(e)
	o.completePorts(e, log)
	o.tls.Complete(e, &o.cluster)
	if o.drainDelay < 0 {
		e.addf("%s: must not be negative", e.name("drain-delay"))
	}
	if o.tls.dev && !e.flags.Changed("drain-delay") {
		o.drainDelay = 0 // --dev has no clients to drain
	}
}

// completePorts validates the ports. It increments a lifecycle port that is not set and conflicts with the TLS port:
// the original's documentation sets --tls-port=9000, and the original has no lifecycle port.
func (o *serveOptions) completePorts(e *flagErrors, log zerolog.Logger) {
	equal := o.tlsPort == o.lifecyclePort && o.tlsPort != 0
	if equal && !e.flags.Changed("lifecycle-port") {
		o.lifecyclePort++
		equal = false
		log.Warn().Int("lifecycle_port", o.lifecyclePort).Int("tls_port", o.tlsPort).
			Msg("--lifecycle-port was not given and its default equals --tls-port; using the next port")
	}
	e.add("tls-port", validatePort(o.tlsPort))
	e.add("lifecycle-port", validatePort(o.lifecyclePort))
	if equal {
		e.addf("%s and %s are both %d; use different ports", e.name("tls-port"), e.name("lifecycle-port"), o.tlsPort)
	}
}

func validatePort(port int) error {
	if port < 0 || port > 65535 {
		return fmt.Errorf("%d is not a port; want 0 to 65535, where 0 is any free port", port)
	}
	return nil
}

// listen opens both ports. Errors begin with the name of the flag. With --dev, there is no trusted certificate, so
// only this machine can connect.
func (o *serveOptions) listen(ctx context.Context, e *flagErrors) (webhook, lifecycle net.Listener, err error) {
	host := ""
	if o.tls.dev {
		host = "127.0.0.1"
	}
	open := func(flag string, port int) net.Listener {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		e.add(flag, err)
		return listener
	}
	webhook, lifecycle = open("tls-port", o.tlsPort), open("lifecycle-port", o.lifecyclePort)
	return webhook, lifecycle, e.err()
}
