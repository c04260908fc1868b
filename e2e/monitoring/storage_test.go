package monitoring_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// newStorage returns a storage with series in the notation of promtool, one a line, with a sample each minute. The
// storage of Prometheus would add 350 packages to the build.
func newStorage(t *testing.T, text string) storage.Queryable {
	t.Helper()
	var all []promql.Series
	for line := range strings.Lines(strings.TrimSpace(text)) {
		metric, values, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		series := promql.Series{Metric: metric}
		for i, value := range values {
			if at := time.Duration(i) * time.Minute; !value.Omitted {
				series.Floats = append(series.Floats, promql.FPoint{T: at.Milliseconds(), F: value.Value})
			}
		}
		all = append(all, series)
	}
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{SelectMockFunction: func(
		_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher,
	) storage.SeriesSet {
		return &seriesSet{matching: slices.DeleteFunc(slices.Clone(all), func(s promql.Series) bool {
			return slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Metric.Get(m.Name)) })
		})}
	}}}
}

// seriesSet iterates over series.
type seriesSet struct {
	matching []promql.Series
	position int // of the next series
}

func (s *seriesSet) Next() bool {
	s.position++
	return s.position <= len(s.matching)
}

func (s *seriesSet) At() storage.Series { return promql.NewStorageSeries(s.matching[s.position-1]) }

func (*seriesSet) Err() error { return nil }

func (*seriesSet) Warnings() annotations.Annotations { return nil }
