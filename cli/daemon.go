package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/go-logr/zerologr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"k8s-sidecar-injector/cli/hangup"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
	"k8s-sidecar-injector/store"
	"k8s-sidecar-injector/watcher"
)

// daemon contains the components that run.
type daemon struct {
	log         zerolog.Logger
	policy      *mutate.Policy
	sources     []watcher.Source
	configMaps  *watcher.ConfigMaps // also in sources; nil if disabled
	namespaces  *watcher.Namespaces // nil if disabled
	recorder    *recorder           // nil if disabled
	certificate certificateSource
	expiry      *watcher.Expiry
	reloader    *watcher.Reloader
	server      *server.Server
}

// newDaemon builds all components and opens the ports. The options must be complete and valid.
func (o *serveOptions) newDaemon(ctx context.Context, log zerolog.Logger, stderr *logWriter) (*daemon, error) {
	klog.SetLogger(zerologr.New(&log)) // the log of client-go
	snapshots := new(store.Store)
	registry := prometheus.NewRegistry()
	metrics, err := newMetrics(registry, snapshots, stderr)
	if err != nil {
		return nil, err
	}
	d, err := o.newSources(metrics, log)
	if err != nil {
		return nil, err
	}
	d.reloader = watcher.NewReloader(watcher.Options{
		Sources: d.sources, Rules: o.rules.newRules(), Publisher: snapshots, Log: log, Observe: metrics.Reloaded,
	})
	webhook, lifecycle, err := o.ports.listen(ctx, o.host())
	if err != nil {
		return nil, err
	}
	o.logStart(d, stderr, webhook.Addr(), lifecycle.Addr())
	lanes := server.NewLanes()
	d.server = server.New(server.Options{
		TLS: webhook, Lifecycle: lifecycle,
		GetCertificate: d.certificate.GetCertificate,
		Handlers:       o.newHandlers(d, lanes, snapshots, metrics),
		Lanes:          lanes,
		Metrics:        metrics,
		Gatherer:       registry,
		Checks:         d.checks(),
		DrainDelay:     o.drainDelay,
		Log:            log,
	})
	return d, nil
}

func newMetrics(registry *prometheus.Registry, snapshots *store.Store, stderr *logWriter) (*server.Metrics, error) {
	if err := registry.Register(stderr.metric()); err != nil {
		return nil, err
	}
	return server.NewMetrics(registry, snapshots)
}

// newSources returns a daemon with everything that reads files or the API server.
func (o *serveOptions) newSources(metrics *server.Metrics, log zerolog.Logger) (*daemon, error) {
	d := &daemon{log: log, policy: o.policy.newPolicy(o.rules.annotationNamespace)}
	var configMapsErr, namespacesErr, recorderErr, certificateErr error
	d.configMaps, configMapsErr = o.configMaps.newSource(&o.cluster, log)
	d.namespaces, namespacesErr = o.namespaces.newNamespaces(&o.cluster, d.policy.RequestAnnotation(), log)
	d.recorder, recorderErr = o.events.newRecorder(&o.cluster, log)
	d.certificate, certificateErr = o.tls.newSource(&o.cluster, metrics, log)
	if err := aggregate(configMapsErr, namespacesErr, recorderErr, certificateErr); err != nil {
		return nil, err
	}
	d.expiry = watcher.NewExpiry(d.certificate.GetCertificate, log)
	if o.definitions.exists() {
		d.sources = append(d.sources, o.definitions.newSource(log))
	}
	if d.configMaps != nil {
		d.sources = append(d.sources, d.configMaps)
	}
	if d.sources == nil && o.tls.dev {
		d.sources = []watcher.Source{samples{}}
	}
	return d, nil
}

// newHandlers returns the handlers of the TLS port by pattern.
func (o *serveOptions) newHandlers(
	d *daemon, lanes *server.Lanes, snapshots *store.Store, metrics *server.Metrics,
) map[string]http.Handler {
	var namespaces server.Namespaces // a nil *watcher.Namespaces would not be a nil interface
	if d.namespaces != nil {
		namespaces = d.namespaces
	}
	var recorder server.Recorder
	if d.recorder != nil {
		recorder = d.recorder
	}
	webhook := server.NewWebhook(lanes, snapshots, namespaces, d.policy, recorder, metrics, d.log)
	handlers := map[string]http.Handler{"POST /mutate": webhook}
	if d.configMaps != nil {
		handlers["POST /validate"] = server.NewValidator(lanes, snapshots, d.configMaps, metrics, d.log)
	}
	if o.tls.dev {
		addPreview(handlers, webhook)
	}
	return handlers
}

// host returns the host to listen on. An empty host is all addresses. --dev has no trusted certificate.
func (o *serveOptions) host() string {
	if o.tls.dev {
		return "127.0.0.1"
	}
	return ""
}

func (o *serveOptions) logStart(d *daemon, stderr io.Writer, webhook, lifecycle net.Addr) {
	sources := make([]string, len(d.sources))
	for i, source := range d.sources {
		sources[i] = source.String()
	}
	d.log.Info().
		Str("version", version()).
		Stringer("webhook", webhook).
		Stringer("lifecycle", lifecycle).
		Strs("sources", sources).
		Str("annotation_namespace", o.rules.annotationNamespace).
		Msg("serving")
	if o.tls.dev {
		printHint(stderr, sources, webhook.String())
	}
}

// checks returns the readiness checks.
func (d *daemon) checks() []server.Check {
	checks := []server.Check{d.reloader.Pending, d.certificate.Pending, d.expiry.Pending}
	if d.namespaces != nil {
		checks = append(checks, d.namespaces.Pending)
	}
	return checks
}

// run runs all components until ctx ends or one of them fails.
func (d *daemon) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	// The recorder stops after the server, which drains after ctx has ended.
	recording, stopRecording := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer stopRecording()
		return d.server.Run(ctx)
	})
	group.Go(func() error { return d.reloader.Run(ctx) })
	group.Go(func() error { return d.certificate.Run(ctx) })
	group.Go(func() error { return d.expiry.Run(ctx) })
	group.Go(func() error { return d.reloadOn(ctx, hangup.Signals()) })
	if d.namespaces != nil {
		group.Go(func() error { return d.namespaces.Run(ctx) })
	}
	if d.recorder != nil {
		group.Go(func() error { return d.recorder.Run(recording) })
	}
	if err := group.Wait(); err != nil {
		d.log.Error().Err(err).Msg("stopped")
		return errLogged
	}
	d.log.Info().Msg("stopped")
	return nil
}

// reloadOn reloads the definitions and the certificate at each SIGHUP, until ctx ends.
func (d *daemon) reloadOn(ctx context.Context, hangups <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			d.log.Info().Msg("SIGHUP: reading sidecars and certificate again")
			d.reloader.Reload()
			d.certificate.Reload()
			d.expiry.Reload()
		}
	}
}
