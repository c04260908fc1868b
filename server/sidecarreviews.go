package server

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// sidecarReviews counts reviews by sidecar, outcome and reason. A review counts once for each sidecar in service that
// it requests. So pods cannot add entries. prune drops those of sidecars that are no longer in service, so that old
// versions do not accumulate. It is safe for concurrent use, and counting takes no lock, except for the first review
// of a sidecar.
type sidecarReviews struct {
	verdicts []mutate.Verdict
	counts   sync.Map // *verdictCounts by ref, a string
}

// verdictCounts are the reviews of a sidecar.
type verdictCounts struct {
	since  time.Time
	counts []atomic.Uint64 // in the order of the verdicts
}

// count counts a review that requests the sidecars. Reviews of pods that were injected before do not count.
func (s *sidecarReviews) count(verdict mutate.Verdict, sidecars []string) {
	if verdict.Reason == mutate.ReasonAlreadyInjected || verdict.Reason == mutate.ReasonCompleted {
		return
	}
	position := slices.Index(s.verdicts, verdict)
	for _, ref := range sidecars {
		counts, found := s.counts.Load(ref)
		if !found {
			created := &verdictCounts{time.Now(), make([]atomic.Uint64, len(s.verdicts))}
			counts, _ = s.counts.LoadOrStore(ref, created)
		}
		counts.(*verdictCounts).counts[position].Add(1)
	}
}

// prune drops the counts of sidecars that are not in a snapshot.
func (s *sidecarReviews) prune(snapshot *store.Snapshot) {
	for key := range s.counts.Range {
		if ref, err := conf.ParseRef(key.(string)); err != nil || snapshot.Sidecar(ref) == nil {
			s.counts.Delete(key)
		}
	}
}

// of returns the counts of a sidecar that are not 0, in the order of mutate.Verdicts, and the number of injections.
func (s *sidecarReviews) of(ref string) (reviews []reviewCount, injections uint64) {
	reviews = []reviewCount{}
	if counts, found := s.counts.Load(ref); found {
		for verdict, count := range s.all(counts.(*verdictCounts)) {
			reviews = append(reviews, reviewCount{verdict.Outcome, verdict.Reason, count})
			if verdict.Outcome == mutate.Injected {
				injections += count
			}
		}
	}
	return reviews, injections
}

// all yields the counts that are not 0.
func (s *sidecarReviews) all(counts *verdictCounts) iter.Seq2[mutate.Verdict, uint64] {
	return func(yield func(mutate.Verdict, uint64) bool) {
		for i, verdict := range s.verdicts {
			if count := counts.counts[i].Load(); count > 0 && !yield(verdict, count) {
				return
			}
		}
	}
}

// collect collects the numbers of injections of the sidecars in service.
func (s *sidecarReviews) collect(snapshots Snapshots) prometheus.CollectorFunc {
	desc := prometheus.NewDesc(prefix+"injections_total", "Pods that a sidecar was injected into, by sidecar.",
		[]string{"sidecar"}, nil)
	return func(metrics chan<- prometheus.Metric) {
		s.prune(snapshots.Current())
		for key, counts := range s.counts.Range {
			if _, injections := s.of(key.(string)); injections > 0 {
				metrics <- prometheus.MustNewConstMetricWithCreatedTimestamp(desc, prometheus.CounterValue,
					float64(injections), counts.(*verdictCounts).since, key.(string))
			}
		}
	}
}
