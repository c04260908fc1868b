package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/go-logr/zerologr"
	"github.com/hashicorp/go-multierror"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"k8s-sidecar-injector/cli/hangup"
	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
	"k8s-sidecar-injector/store"
	"k8s-sidecar-injector/watcher"
)

// serveFlags are those of the daemon.
type serveFlags struct {
	flagSet
	definitionFlags
	configMapFlags
	namespaceFlags
	clusterFlags
	logFlags
	portFlags
	tlsFlags
	eventFlags
	drainDelay time.Duration
}

func newServe(process Process) *cobra.Command {
	command := &cobra.Command{
		Use:   programName,
		Short: "A mutating admission webhook that adds sidecars to pods",
		Long: "Serves the webhook: pods annotated injector.tumblr.com/request: NAME come back with the\n" +
			"containers, volumes and env that the sidecar NAME defines. Try it with --dev.",
		Args: cobra.NoArgs,
	}
	var f serveFlags
	flags := newFlagSet(command.Flags())
	f.flagSet = flags
	f.definitionFlags.define(flags)
	f.configMapFlags.define(flags)
	f.namespaceFlags.define(flags)
	f.clusterFlags.define(flags)
	f.logFlags.define(flags)
	f.portFlags.define(flags)
	f.tlsFlags.define(flags)
	f.eventFlags.define(flags)
	flags.DurationVar(&f.drainDelay, "drain-delay", 5*time.Second, "how long reviews are served after SIGTERM, while /readyz fails already")
	flags.env("drain-delay", "DRAIN_DELAY")
	command.RunE = func(command *cobra.Command, _ []string) error {
		return f.serve(command.Context(), process)
	}
	return command
}

// gcPercent makes the garbage collector run before the heap has grown by half. Under attack, most of the
// heap is garbage. Unlike a limit of memory, it costs the same per review however many definitions there are.
const gcPercent = 50

// serve runs the daemon until SIGTERM or SIGINT. A second one of them ends it at once.
func (f *serveFlags) serve(ctx context.Context, process Process) error {
	terminated, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, shutDown := context.WithCancel(ctx)
	defer shutDown()
	context.AfterFunc(terminated, func() {
		stop() // before anybody can see that we shut down, and send a second signal
		shutDown()
	})

	if process.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	stderr := newLogWriter(process.Stderr)
	defer stderr.close()
	d, err := f.daemon(ctx, process, stderr)
	if err != nil {
		return err
	}
	if err := d.run(ctx); err != nil {
		return servedError{err}
	}
	return nil
}

// servedError is why the daemon stopped serving. By then, the reader of standard error may have stalled.
type servedError struct{ error }

// Unwrap returns the cause.
func (e servedError) Unwrap() error { return e.error }

// daemon is everything that runs.
type daemon struct {
	log        zerolog.Logger
	reloader   *watcher.Reloader
	namespaces *watcher.Namespaces // nil if they ask for nothing
	keyPair    keyPair
	expiry     *watcher.Expiry
	server     *server.Server
	recorder   *recorder // nil if no events are recorded
}

// daemon checks all flags and puts the parts together. The ports are open afterwards.
func (f *serveFlags) daemon(ctx context.Context, process Process, stderr *logWriter) (*daemon, error) {
	s, err := f.check(process, stderr)
	stderr.start()
	if err != nil {
		return nil, err
	}
	snapshots := new(store.Store)
	registry := prometheus.NewRegistry()
	metrics, err := server.NewMetrics(registry, snapshots)
	if err != nil {
		return nil, err
	}
	if err := registry.Register(stderr.metric()); err != nil {
		return nil, err
	}
	keyPair, err := f.newKeyPair(&f.clusterFlags, metrics, s.log)
	if err != nil {
		return nil, err
	}
	webhookPort, lifecyclePort, err := f.listen(ctx, f.host())
	if err != nil {
		return nil, err
	}
	klog.SetLogger(zerologr.New(&s.log)) // client-go has no other way to take a logger
	reloader := watcher.NewReloader(watcher.Options{
		Sources: s.sources, Rules: s.rules, Publisher: snapshots, Log: s.log, Observe: metrics.Reloaded,
	})
	expiry := watcher.NewExpiry(keyPair.GetCertificate, s.log)
	checks := []server.Check{reloader.Pending, keyPair.Pending, expiry.Pending}
	if s.namespaces != nil {
		checks = append(checks, s.namespaces.Pending)
	}
	f.announce(s, stderr, webhookPort, lifecyclePort)
	lanes := server.NewLanes()
	return &daemon{log: s.log, reloader: reloader, namespaces: s.namespaces, keyPair: keyPair, expiry: expiry, recorder: s.recorder, server: server.New(server.Options{
		TLS: webhookPort, Lifecycle: lifecyclePort,
		GetCertificate: keyPair.GetCertificate,
		Handlers:       f.handlers(s, lanes, snapshots, metrics),
		Lanes:          lanes,
		Metrics:        metrics,
		Gatherer:       registry,
		Checks:         checks,
		DrainDelay:     f.delay(),
		Log:            s.log,
	})}, nil
}

// settings are what the flags say.
type settings struct {
	log        zerolog.Logger
	policy     *mutate.Policy
	rules      conf.Rules
	sources    []watcher.Source
	configMaps *watcher.ConfigMaps // one of the sources; nil if they are turned off
	namespaces *watcher.Namespaces // nil if they ask for nothing
	recorder   *recorder           // nil if no events are recorded
}

// check reads the environment and reports everything that is wrong with the flags at once.
func (f *serveFlags) check(process Process, stderr *logWriter) (s settings, err error) {
	faults := multierror.Append(nil, f.readEnvironment(process.Getenv))
	s.log, err = f.logger(process.Stderr, stderr, f.dev)
	faults = multierror.Append(faults, err)
	s.policy, err = f.policy()
	faults = multierror.Append(faults, err)
	s.rules, err = f.rules()
	faults = multierror.Append(faults, err)
	s.sources, s.configMaps, err = f.sources(s.log)
	faults = multierror.Append(faults, err)
	s.namespaces, err = f.namespaces(&f.clusterFlags, s.policy, s.log)
	faults = multierror.Append(faults, err, f.portFlags.check(s.log), f.tlsFlags.check())
	s.recorder, err = f.newRecorder(&f.clusterFlags, s.log)
	faults = multierror.Append(faults, err)
	if f.drainDelay < 0 {
		faults = multierror.Append(faults, fmt.Errorf("%s: must not be negative", f.named("drain-delay")))
	}
	return s, listed(faults)
}

// host is where to listen: everywhere, but with --dev, which has no real certificate, on this
// machine only.
func (f *serveFlags) host() string {
	if f.dev {
		return "127.0.0.1"
	}
	return ""
}

// delay is the drain delay. Who tries things out has no clients to wait for.
func (f *serveFlags) delay() time.Duration {
	if f.dev && !f.Changed("drain-delay") {
		return 0
	}
	return f.drainDelay
}

func (f *serveFlags) handlers(s settings, lanes *server.Lanes, snapshots *store.Store, metrics *server.Metrics) map[string]http.Handler {
	var namespaces server.Namespaces
	if s.namespaces != nil {
		namespaces = s.namespaces
	}
	var recorder server.Recorder
	if s.recorder != nil {
		recorder = s.recorder
	}
	webhook := server.NewWebhook(lanes, snapshots, namespaces, s.policy, recorder, metrics, s.log)
	handlers := map[string]http.Handler{"POST /mutate": webhook}
	if s.configMaps != nil {
		handlers["POST /validate"] = server.NewValidator(lanes, snapshots, s.configMaps, metrics, s.log)
	}
	if f.dev {
		addPreview(handlers, webhook)
	}
	return handlers
}

func (f *serveFlags) announce(s settings, stderr io.Writer, webhook, lifecycle net.Listener) {
	names := make([]string, len(s.sources))
	for i, source := range s.sources {
		names[i] = source.String()
	}
	s.log.Info().
		Str("version", version()).
		Stringer("webhook", webhook.Addr()).
		Stringer("lifecycle", lifecycle.Addr()).
		Strs("sources", names).
		Str("annotation_namespace", f.annotationNamespace).
		Msg("serving")
	if f.dev {
		printHint(stderr, names, webhook.Addr().String())
	}
}

// run joins all that runs. Whatever ends first ends the others.
func (d *daemon) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	// Reviews are answered for a while after the end, and their events are recorded.
	serving, served := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return d.reloader.Run(ctx) })
	if d.namespaces != nil {
		group.Go(func() error { return d.namespaces.Run(ctx) })
	}
	group.Go(func() error { return d.keyPair.Run(ctx) })
	group.Go(func() error { return d.expiry.Run(ctx) })
	group.Go(func() error {
		defer served()
		return d.server.Run(ctx)
	})
	if d.recorder != nil {
		group.Go(func() error { return d.recorder.Run(serving) })
	}
	group.Go(func() error {
		d.reloadOn(ctx, hangup.Signals())
		return nil
	})
	err := group.Wait()
	if err != nil {
		d.log.Error().Err(err).Msg("stopped")
		return err
	}
	d.log.Info().Msg("stopped")
	return nil
}

// reloadOn reads everything again at each SIGHUP.
func (d *daemon) reloadOn(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			d.log.Info().Msg("SIGHUP: reading sidecars and certificate again")
			d.reloader.Reload()
			d.keyPair.Reload()
			d.expiry.Reload()
		}
	}
}
