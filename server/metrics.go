package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"k8s-sidecar-injector/mutate"
)

// prefix is the prefix of all metrics of this program.
const prefix = "sidecar_injector_"

// Metrics are the metrics of the program. No label has a value from a pod, so clients cannot increase the
// number of time series. It is safe for concurrent use.
type Metrics struct {
	snapshots    Snapshots
	reviews      *prometheus.CounterVec
	refused      *prometheus.CounterVec
	sidecars     sidecarReviews
	duration     prometheus.Histogram
	inFlight     prometheus.Gauge
	validations  *prometheus.CounterVec
	workloads    *prometheus.CounterVec
	reloads      *prometheus.CounterVec
	reloaded     prometheus.Gauge
	unreadable   prometheus.Gauge
	certificates *prometheus.CounterVec
	notAfter     prometheus.Gauge
	failing      prometheus.Gauge
	ready        prometheus.Gauge
	connections  *prometheus.GaugeVec
	closed       *prometheus.CounterVec
}

// NewMetrics returns the metrics and registers them, together with those of the Go runtime and of the
// process. It returns an error if one of them is already registered.
func NewMetrics(registerer prometheus.Registerer, snapshots Snapshots) (*Metrics, error) {
	m := &Metrics{
		snapshots: snapshots, sidecars: sidecarReviews{verdicts: mutate.Verdicts()},
		reviews: counters("reviews_total",
			"Admission reviews answered, by outcome and reason.", "outcome", "reason"),
		refused: counters("requests_refused_total", "Requests answered without an AdmissionReview, by cause.", "cause"),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "review_duration_seconds",
			Help: "Time from the header of a review to the end of its response.",
			Buckets: []float64{
				50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1,
			},
		}),
		inFlight: gauge("reviews_in_flight", "Admission reviews being answered now."),
		validations: counters("validations_total",
			"Changes of ConfigMaps with definitions that were reviewed, by outcome.", "outcome"),
		workloads: counters("workload_reviews_total",
			"Reviews of workloads, by outcome: warned if a request for sidecars has a mistake.", "outcome"),
		reloads: counters("reloads_total",
			"Reloads of the sidecars, by result: error when a source could not be read or a document was rejected.",
			"result"),
		reloaded: gauge("last_successful_reload_timestamp_seconds",
			"Unix time of the last reload of the sidecars without an error."),
		unreadable: gauge("unreadable_sources",
			"Sources of definitions that cannot be read now; all of them if the last reload panicked."),
		certificates: counters("certificate_reloads_total", "Loads of a new key pair, by result.", "result"),
		notAfter: gauge("certificate_not_after_timestamp_seconds",
			"Unix time at which the certificate in service expires."),
		failing: gauge("certificate_failing",
			"1 if the certificate cannot be loaded, watched or renewed now, otherwise 0."),
		ready: gauge("ready", "1 if /readyz succeeds, otherwise 0."),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "connections", Help: "Open connections, by port.",
		}, []string{"port"}),
		closed: counters("connections_closed_total",
			"Connections closed because of a limit, by port and cause.", "port", "cause"),
	}
	m.createSeries()
	for _, collector := range []prometheus.Collector{
		m.reviews, m.refused, m.duration, m.inFlight, m.validations, m.workloads, m.reloads, m.reloaded,
		m.unreadable, m.certificates, m.notAfter, m.failing, m.ready, m.connections, m.closed,
		m.sidecars.collect(snapshots), collectSnapshot(snapshots),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// createSeries creates all series with the value 0, because the rate of an absent series is absent and an
// alert on it never fires.
func (m *Metrics) createSeries() {
	for _, verdict := range mutate.Verdicts() {
		m.reviewCounter(verdict.Outcome, verdict.Reason)
	}
	for _, cause := range refusalCauses() {
		m.refused.WithLabelValues(string(cause))
	}
	for _, outcome := range []mutate.Outcome{allowed, mutate.Denied} {
		m.validationCounter(outcome)
	}
	for _, outcome := range []mutate.Outcome{allowed, warned, refusedReview} {
		m.workloadCounter(outcome)
	}
	for _, port := range []string{webhookPort, lifecyclePort} {
		m.connections.WithLabelValues(port)
		for _, cause := range []string{closedDisplaced, closedRefused, closedResets} {
			m.closed.WithLabelValues(port, cause)
		}
	}
	for _, ok := range []bool{true, false} {
		m.reloads.WithLabelValues(resultOf(ok))
		m.certificates.WithLabelValues(resultOf(ok))
	}
}

// resultOf returns the value of the label `result`.
func resultOf(ok bool) string {
	if ok {
		return "success"
	}
	return "error"
}

// Reloaded counts a reload of the sidecars, and drops the counts of sidecars that it removed. unreadable is the number
// of sources that could not be read.
func (m *Metrics) Reloaded(ok bool, unreadable int) {
	m.sidecars.prune(m.snapshots.Current())
	m.unreadable.Set(float64(unreadable))
	m.reloads.WithLabelValues(resultOf(ok)).Inc()
	if ok {
		m.reloaded.SetToCurrentTime()
	}
}

// CertificateLoaded counts the load of a key pair. notAfter is when the certificate in service expires,
// zero if there is none.
func (m *Metrics) CertificateLoaded(ok bool, notAfter time.Time) {
	m.certificates.WithLabelValues(resultOf(ok)).Inc()
	if !notAfter.IsZero() {
		m.notAfter.Set(float64(notAfter.Unix()))
	}
}

// setState sets the gauges that a scrape computes.
func (m *Metrics) setState(ready, certificateFails bool) {
	m.ready.Set(numberOf(ready))
	m.failing.Set(numberOf(certificateFails))
}

func numberOf(statement bool) float64 {
	if statement {
		return 1
	}
	return 0
}

// countReview counts a review that was answered with an AdmissionReview.
func (m *Metrics) countReview(r *reviewRecord, duration time.Duration) {
	m.reviewCounter(r.decision.Outcome, r.decision.Reason).Inc()
	m.duration.Observe(duration.Seconds())
	verdict := mutate.Verdict{Outcome: r.decision.Outcome, Reason: r.decision.Reason}
	m.sidecars.count(verdict, r.sidecars)
	m.sidecars.count(verdict, r.notInjected)
}

func (m *Metrics) reviewCounter(outcome mutate.Outcome, reason mutate.Reason) prometheus.Counter {
	return m.reviews.WithLabelValues(string(outcome), string(reason))
}

// validationCounter returns the counter of changes of definitions.
func (m *Metrics) validationCounter(outcome mutate.Outcome) prometheus.Counter {
	return m.validations.WithLabelValues(string(outcome))
}

// workloadCounter returns the counter of reviews of workloads.
func (m *Metrics) workloadCounter(outcome mutate.Outcome) prometheus.Counter {
	return m.workloads.WithLabelValues(string(outcome))
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help})
}
