package cli

import (
	"context"
	"io"
	"net/http"

	"github.com/go-logr/zerologr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/server"
	"k8s-sidecar-injector/store"
	"k8s-sidecar-injector/watcher"
)

// daemon contains the components that run.
type daemon struct {
	log      zerolog.Logger
	options  server.Options                // of the server
	recorder *recorder                     // nil if disabled
	runs     []func(context.Context) error // of all other components
	reloader *reloader
}

// newDaemon builds all components and opens the ports. The options must be complete and valid.
func (o *serveOptions) newDaemon(
	ctx context.Context, e *flagErrors, log zerolog.Logger, stderr *logWriter,
) (*daemon, error) {
	klog.SetLogger(zerologr.New(&log)) // the log of client-go
	snapshots := new(store.Store)
	registry := prometheus.NewRegistry()
	registry.MustRegister(stderr.metric(), buildInfo())
	metrics, err := server.NewMetrics(registry, snapshots)
	if err != nil {
		return nil, err
	}
	reloader := newReloader(snapshots, log)
	d := &daemon{log: log, reloader: reloader, runs: []func(context.Context) error{reloader.Run}, options: server.Options{
		Handlers: make(map[string]http.Handler), LocalHandlers: map[string]http.Handler{"GET " + reloadPath: reloader},
		Lanes: server.NewLanes(), Metrics: metrics, Gatherer: registry, DrainDelay: o.drainDelay, Log: log,
	}}
	reloads, err := o.addSources(d, snapshots)
	if err != nil {
		return nil, err
	}
	expiry, err := o.addCertificate(d)
	if err != nil {
		return nil, err
	}
	if o.statusPage {
		d.options.Status = newStatus(snapshots, reloads, expiry)
	}
	if err := o.addWebhook(d, snapshots); err != nil {
		return nil, err
	}
	if d.options.TLS, d.options.Lifecycle, err = o.listen(ctx, e); err != nil {
		return nil, err
	}
	o.logStart(d, reloads, stderr)
	return d, nil
}

// addSources adds the reloader of the definitions and its sources.
func (o *serveOptions) addSources(d *daemon, snapshots *store.Store) (*watcher.Reloader, error) {
	var sources []watcher.Source
	if o.injection.hasDirectory {
		sources = append(sources, watcher.NewDirectory(o.injection.directory, d.log))
	}
	if o.cluster.configMapLabels != "" {
		configMaps, err := o.cluster.newConfigMaps(d.log)
		if err != nil {
			return nil, err
		}
		sources = append(sources, configMaps)
		d.options.Handlers["POST /validate"] = server.NewValidator(
			d.options.Lanes, snapshots, configMaps, d.options.Metrics, d.log)
	}
	if sources == nil { // only with --dev
		sources = []watcher.Source{samples{}}
	}
	reloader := watcher.NewReloader(watcher.Options{
		Sources: sources, Rules: o.injection.rules, Publisher: snapshots, Log: d.log,
		Observe: d.options.Metrics.Reloaded,
	})
	d.options.Checks = append(d.options.Checks, reloader.Pending)
	d.runs = append(d.runs, reloader.Run)
	d.reloader.parts = append(d.reloader.parts, reloader.Reload)
	return reloader, nil
}

// addCertificate adds the source of the certificate and the check of its expiry.
func (o *serveOptions) addCertificate(d *daemon) (expiry *watcher.Expiry, err error) {
	var source certificateSource // nil if the certificate does not change
	switch {
	case o.tls.dev:
		d.options.GetCertificate, err = newSelfSigned(d.options.Metrics)
	case o.tls.selfManaged:
		source, err = o.tls.newController(o.cluster.config, d.options.Metrics, d.log)
	default:
		source = watcher.NewCertWatcher(o.tls.certFile, o.tls.keyFile, d.log, d.options.Metrics.CertificateLoaded)
	}
	if err != nil {
		return nil, err
	}
	if source != nil {
		d.options.GetCertificate, d.options.CertificateErr = source.GetCertificate, source.Err
		d.options.Checks = append(d.options.Checks, source.Pending)
		d.runs = append(d.runs, source.Run)
		d.reloader.parts = append(d.reloader.parts, source.Reload)
	}
	expiry = watcher.NewExpiry(d.options.GetCertificate, d.log)
	d.options.Checks = append(d.options.Checks, expiry.Pending)
	d.runs = append(d.runs, expiry.Run)
	d.reloader.parts = append(d.reloader.parts, func(context.Context) error { expiry.Reload(); return nil })
	return expiry, nil
}

// addWebhook adds the handlers of reviews of pods and workloads, and the parts that they may need.
func (o *serveOptions) addWebhook(d *daemon, snapshots *store.Store) error {
	var namespaces server.Namespaces
	if o.cluster.namespaceDefaults {
		source, err := o.cluster.newNamespaces(o.injection.policy.RequestAnnotation(), d.log)
		if err != nil {
			return err
		}
		namespaces = source
		d.options.Checks = append(d.options.Checks, source.Pending)
		d.runs = append(d.runs, source.Run)
	}
	var events server.Recorder
	if o.events {
		client, _, err := kube.NewRESTClient(o.cluster.configWithLimits(eventQPS, eventBurst), kube.Core())
		if err != nil {
			return err
		}
		d.recorder = newRecorder(client, d.log)
		events = d.recorder
	}
	webhook := server.NewWebhook(
		d.options.Lanes, snapshots, namespaces, &o.injection.policy, events, d.options.Metrics, d.log)
	d.options.Handlers["POST /mutate"] = webhook
	d.options.Handlers["POST /workloads"] = server.NewWorkloadWebhook(
		d.options.Lanes, snapshots, namespaces, &o.injection.policy, d.options.Metrics, d.log)
	if o.tls.dev {
		addPreview(d.options.Handlers, webhook)
		if d.options.Status != nil {
			d.options.Status.Playground = &playground{snapshots, &o.injection.policy, namespaces}
		}
	}
	return nil
}

func (o *serveOptions) logStart(d *daemon, reloads *watcher.Reloader, stderr io.Writer) {
	names := texts(reloads.States(), watcher.SourceState.String)
	webhook := d.options.TLS.Addr()
	d.log.Info().
		Str("version", version()).
		Stringer("webhook", webhook).
		Stringer("lifecycle", d.options.Lifecycle.Addr()).
		Strs("sources", names).
		Str("annotation_namespace", o.injection.policy.AnnotationNamespace).
		Msg("serving")
	if o.tls.dev {
		page := ""
		if d.options.Status != nil {
			page = "http://" + d.options.Lifecycle.Addr().String() + server.PlaygroundPath
		}
		printHint(stderr, names, webhook.String(), page)
	}
}

// run runs all components until ctx ends or one of them fails.
func (d *daemon) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	// The recorder stops after the server, which drains after ctx has ended.
	recording, stopRecording := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer stopRecording()
		return server.New(d.options).Run(ctx)
	})
	if d.recorder != nil {
		group.Go(func() error { return d.recorder.Run(recording) })
	}
	for _, run := range d.runs {
		group.Go(func() error { return run(ctx) })
	}
	if err := group.Wait(); err != nil {
		d.log.Error().Err(err).Msg("stopped")
		return errLogged
	}
	d.log.Info().Msg("stopped")
	return nil
}
