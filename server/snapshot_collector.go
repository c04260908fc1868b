package server

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// snapshotCollector collects metrics of the current snapshot.
type snapshotCollector struct {
	snapshots                                       Snapshots
	generation, digest, sidecars, rejections, stale *prometheus.Desc
}

func newSnapshotCollector(snapshots Snapshots) *snapshotCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, labels, nil)
	}
	return &snapshotCollector{
		snapshots:  snapshots,
		generation: desc("snapshot_generation", "Publications of this process; 0 before the first."),
		digest: desc("snapshot_info",
			"The digest of the content served: the same on all replicas that serve the same.", "digest"),
		sidecars:   desc("snapshot_sidecars", "Sidecars served."),
		rejections: desc("snapshot_rejections", "Documents that are rejected now."),
		stale: desc("snapshot_stale_documents",
			"Sidecars served as they were before their document was changed to something that is rejected."),
	}
}

// Describe implements prometheus.Collector.
func (c *snapshotCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.generation, c.digest, c.sidecars, c.rejections, c.stale} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *snapshotCollector) Collect(metrics chan<- prometheus.Metric) {
	snapshot := c.snapshots.Current()
	rejections := len(slices.Collect(snapshot.Rejections()))
	send := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	send(c.generation, float64(snapshot.Generation()))
	if digest := snapshot.Digest(); digest != "" {
		send(c.digest, 1, digest)
	}
	send(c.sidecars, float64(snapshot.Len()))
	send(c.rejections, float64(rejections))
	send(c.stale, float64(snapshot.Stale()))
}
