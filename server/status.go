package server

import (
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// StatusOptions configure the status page and its API. All functions must be safe for concurrent use. Only Playground
// may be nil.
type StatusOptions struct {
	// Version is the version of the program.
	Version   string
	Snapshots Snapshots
	// Sources returns the states of the sources.
	Sources func() []Source
	// Certificate returns the leaf of the certificate in service, and the earliest expiry in its chain. The leaf is
	// nil if there is none.
	Certificate func() (leaf *x509.Certificate, notAfter time.Time)
	// Playground enables the playground page. The page shows values of variables, so it is only for development.
	Playground Playground
}

// Source is the state of a source of definitions.
type Source struct {
	// Name is the name in the log, such as `directory conf`.
	Name string `json:"name"`
	// Kind is directory, configmaps or samples.
	Kind  string      `json:"kind"`
	State SourceState `json:"state"`
	// Error is the error of the latest read, if any.
	Error string `json:"error"`
}

// SourceState is the result of reading a source.
type SourceState string

// The states of sources.
const (
	SourceWaiting SourceState = "waiting" // never read
	SourceReady   SourceState = "ready"
	SourceFailing SourceState = "failing" // the documents of an earlier read are in service
)

const (
	// maxRejections limits the rejections in a status, and maxErrors the errors of each. The listing has all.
	maxRejections = 100
	maxErrors     = 10
	// maxRendering is how many responses are rendered at once.
	maxRendering = 2
)

// injectorStatus is what the page and the API show. No field is omitted, and no list is null. Its JSON is public.
type injectorStatus struct {
	Version    string    `json:"version"`
	Started    time.Time `json:"started"`
	Generation uint64    `json:"generation"`
	Digest     string    `json:"digest"`
	// Since is when the snapshot was published; nil before the first.
	Since *time.Time `json:"since"`
	Ready bool       `json:"ready"`
	// Pending are the reasons for not being ready.
	Pending     []string     `json:"pending"`
	Sources     []Source     `json:"sources"`
	Certificate *certificate `json:"certificate"` // nil if there is none
	Sidecars    int          `json:"sidecars"`
	Stale       int          `json:"stale"`
	Rejected    int          `json:"rejected"`
	// Rejections are the first of the rejected documents, by origin.
	Rejections []conf.ListedRejection `json:"rejections"`
	// Reviews are the results of the reviews of pods since the start, without those that never happened.
	Reviews []reviewCount `json:"reviews"`
	// Publications are the last ones, the latest first.
	Publications []store.Publication `json:"publications"`
}

// certificate describes the certificate in service.
type certificate struct {
	Subject     string   `json:"subject"`
	DNSNames    []string `json:"dnsNames"`
	IPAddresses []string `json:"ipAddresses"`
	// NotAfter is the earliest expiry in the chain.
	NotAfter time.Time `json:"notAfter"`
}

// reviewCount is the number of reviews with one result.
type reviewCount struct {
	Outcome mutate.Outcome `json:"outcome"`
	Reason  mutate.Reason  `json:"reason"`
	Count   uint64         `json:"count"`
}

// statusReader collects the status from what reviews and reloads have published. It takes none of their locks.
type statusReader struct {
	StatusOptions
	metrics *Metrics
	pending func() []string
	started time.Time
	// rendering has a token for each response in progress. So clients that request many can delay only each other.
	rendering chan struct{}
}

func newStatusReader(options StatusOptions, metrics *Metrics, pending func() []string) *statusReader {
	return &statusReader{
		StatusOptions: options, metrics: metrics, pending: pending, started: time.Now(),
		rendering: make(chan struct{}, maxRendering),
	}
}

func (r *statusReader) status(snapshot *store.Snapshot) *injectorStatus {
	s := &injectorStatus{
		Version: r.Version, Started: r.started.UTC().Truncate(time.Second),
		Generation: snapshot.Generation(), Digest: snapshot.Digest(),
		Pending: append([]string{}, r.pending()...), Sources: append([]Source{}, r.Sources()...),
		Certificate: newCertificate(r.Certificate()),
		Sidecars:    snapshot.Len(), Stale: snapshot.Stale(), Rejections: []conf.ListedRejection{},
		Reviews: r.metrics.reviewCounts(), Publications: append([]store.Publication{}, snapshot.Publications()...),
	}
	s.Ready = len(s.Pending) == 0
	if len(s.Publications) > 0 {
		s.Since = &s.Publications[0].Time
	}
	for rejection := range snapshot.Rejections() {
		if s.Rejected++; s.Rejected <= maxRejections {
			listed := rejection.Listed()
			listed.Errors = firstLines(listed.Errors)
			s.Rejections = append(s.Rejections, listed)
		}
	}
	return s
}

// firstLines returns the first errors, and the number of the others.
func firstLines(errs []string) []string {
	if len(errs) <= maxErrors {
		return errs
	}
	return append(errs[:maxErrors:maxErrors], fmt.Sprintf("and %d more errors", len(errs)-maxErrors))
}

func newCertificate(leaf *x509.Certificate, notAfter time.Time) *certificate {
	if leaf == nil {
		return nil
	}
	c := &certificate{
		Subject: leaf.Subject.String(), NotAfter: notAfter.UTC(),
		DNSNames: append([]string{}, leaf.DNSNames...), IPAddresses: make([]string, len(leaf.IPAddresses)),
	}
	for i, address := range leaf.IPAddresses {
		c.IPAddresses[i] = net.IP.String(address)
	}
	return c
}

// listedSidecar is a sidecar in the listing of the API.
type listedSidecar struct {
	conf.ListedSidecar
	// Injections is the number of pods that the sidecar was injected into since the start.
	Injections uint64 `json:"injections"`
	// Reviews are the results of the reviews that requested it, as in injectorStatus.
	Reviews []reviewCount `json:"reviews"`
}

// listed describes a sidecar without values that its env may have.
func (r *statusReader) listed(sidecar *conf.Sidecar) listedSidecar {
	listed := listedSidecar{ListedSidecar: sidecar.Listed()}
	listed.Reviews, listed.Injections = r.metrics.sidecars.of(sidecar.Ref.String())
	if len(listed.Parameters) > 0 {
		names := make(map[string]bool)
		addPlaceholders(names, "", sidecar.Definition())
		maskParameters(listed.Parameters, names)
	}
	return listed
}

// reviewCounts returns the counts that are not 0, in the order of mutate.Verdicts.
func (m *Metrics) reviewCounts() []reviewCount {
	counts := []reviewCount{}
	for _, verdict := range mutate.Verdicts() {
		if count := valueOf(m.reviewCounter(verdict.Outcome, verdict.Reason)); count > 0 {
			counts = append(counts, reviewCount{verdict.Outcome, verdict.Reason, count})
		}
	}
	return counts
}

// valueOf returns the value of a counter, which is only ever incremented by 1.
func valueOf(counter prometheus.Counter) uint64 {
	var metric dto.Metric
	if counter.Write(&metric) != nil {
		return 0
	}
	return uint64(metric.GetCounter().GetValue())
}
