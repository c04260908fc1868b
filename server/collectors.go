package server

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"k8s-sidecar-injector/store"
)

// collectSnapshot collects metrics of the current snapshot.
func collectSnapshot(snapshots Snapshots) prometheus.CollectorFunc {
	return func(metrics chan<- prometheus.Metric) {
		snapshot := snapshots.Current()
		send := func(name, help string, value float64, labels prometheus.Labels) {
			desc := prometheus.NewDesc(prefix+name, help, nil, labels)
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
		}
		send("snapshot_generation", "Snapshots published by this process; 0 before the first.",
			float64(snapshot.Generation()), nil)
		if digest := snapshot.Digest(); digest != "" {
			send("snapshot_info", "Digest of the content served; the same on all replicas with the same content.",
				1, prometheus.Labels{"digest": digest})
		}
		send("snapshot_sidecars", "Sidecars served.", float64(snapshot.Len()), nil)
		send("snapshot_rejections", "Documents rejected by the last reload.",
			float64(len(slices.Collect(snapshot.Rejections()))), nil)
		send("snapshot_stale_documents",
			"Sidecars served from the last valid version of a document that is now rejected.",
			float64(snapshot.Stale()), nil)
		for origin, count := range countRejections(snapshot) {
			send("rejected_documents", "Documents rejected by the last reload, by the file or ConfigMap key.",
				float64(count), prometheus.Labels{"origin": origin})
		}
	}
}

const (
	// maxOrigins is how many origins of rejected documents have a time series of their own.
	maxOrigins = 100
	// otherOrigins is the label of the other origins.
	otherOrigins = "other"
)

// countRejections returns the number of rejected documents by the file or the key of a ConfigMap.
func countRejections(snapshot *store.Snapshot) map[string]int {
	counts := make(map[string]int)
	for rejection := range snapshot.Rejections() {
		origin := rejection.Origin
		origin.Index = 0
		label := origin.String()
		if counts[label] == 0 && len(counts) >= maxOrigins {
			label = otherOrigins
		}
		counts[label]++
	}
	return counts
}
