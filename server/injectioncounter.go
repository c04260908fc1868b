package server

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"k8s-sidecar-injector/conf"
)

// injections counts injections by sidecar. A scrape drops the counters of sidecars that are no longer
// served, so that old versions do not accumulate. It is safe for concurrent use.
type injections struct {
	desc      *prometheus.Desc
	snapshots Snapshots
	counts    sync.Map // *atomic.Uint64 by ref
}

func newInjections(snapshots Snapshots) *injections {
	return &injections{
		desc: prometheus.NewDesc(prefix+"injections_total",
			"Pods that a sidecar was injected into, by sidecar.", []string{"sidecar"}, nil),
		snapshots: snapshots,
	}
}

// count counts one injection of a sidecar.
func (i *injections) count(ref string) {
	counter, found := i.counts.Load(ref)
	if !found {
		counter, _ = i.counts.LoadOrStore(ref, new(atomic.Uint64))
	}
	counter.(*atomic.Uint64).Add(1)
}

// Describe implements prometheus.Collector.
func (i *injections) Describe(descs chan<- *prometheus.Desc) {
	descs <- i.desc
}

// Collect implements prometheus.Collector.
func (i *injections) Collect(metrics chan<- prometheus.Metric) {
	snapshot := i.snapshots.Current()
	for key, counter := range i.counts.Range {
		text := key.(string)
		ref, err := conf.ParseRef(text)
		if err != nil || snapshot.Sidecar(ref) == nil {
			i.counts.Delete(key)
			continue
		}
		value := float64(counter.(*atomic.Uint64).Load())
		metrics <- prometheus.MustNewConstMetric(i.desc, prometheus.CounterValue, value, text)
	}
}
