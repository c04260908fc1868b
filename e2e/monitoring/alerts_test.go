package monitoring_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// healthy are the metrics of two replicas without a problem, one sample a minute for two hours.
const healthy = `
sidecar_injector_ready{namespace="ns",pod="a"} 1x120
sidecar_injector_ready{namespace="ns",pod="b"} 1x120
sidecar_injector_snapshot_info{namespace="ns",pod="a",digest="1"} 1x120
sidecar_injector_snapshot_info{namespace="ns",pod="b",digest="1"} 1x120
sidecar_injector_certificate_not_after_timestamp_seconds{namespace="ns",pod="a"} 7776000x120
sidecar_injector_certificate_not_after_timestamp_seconds{namespace="ns",pod="b"} 0x120
sidecar_injector_certificate_reloads_total{namespace="ns",pod="a",result="error"} 0x100 1x20
sidecar_injector_certificate_failing{namespace="ns",pod="a"} 0x100 1x2 0x18
sidecar_injector_unreadable_sources{namespace="ns",pod="a"} 0x100 1x2 0x18
sidecar_injector_reviews_total{namespace="ns",pod="a",outcome="denied",reason="conflict"} 0+2x120
sidecar_injector_review_duration_seconds_bucket{namespace="ns",pod="a",le="0.1"} 0+100x120
sidecar_injector_review_duration_seconds_bucket{namespace="ns",pod="a",le="1"} 0+100x120
sidecar_injector_review_duration_seconds_bucket{namespace="ns",pod="a",le="+Inf"} 0+100x120
`

// problems has the series with which each alert fires. They replace the healthy ones of the same labels.
func problems() map[string]string {
	return map[string]string{
		"SidecarInjectorDown": `
sidecar_injector_ready{namespace="ns",pod="a"} 0x120
sidecar_injector_ready{namespace="ns",pod="b"} 1x60 stale`,
		"SidecarInjectorDocumentRejected": `
sidecar_injector_rejected_documents{namespace="ns",pod="a",origin="file a.yaml"} 1x120`,
		"SidecarInjectorReplicasDiffer": `
sidecar_injector_snapshot_info{namespace="ns",pod="b",digest="2"} 1x120`,
		"SidecarInjectorCertificateExpiry": `
sidecar_injector_certificate_not_after_timestamp_seconds{namespace="ns",pod="a"} 600000x120`,
		"SidecarInjectorCertificateReloadFailing": `
sidecar_injector_certificate_reloads_total{namespace="ns",pod="a",result="error"} 0+1x120`,
		"SidecarInjectorReloadFailing": `
sidecar_injector_unreadable_sources{namespace="ns",pod="a"} 1x120`,
		"SidecarInjectorDenialsRising": `
sidecar_injector_reviews_total{namespace="ns",pod="a",outcome="denied",reason="conflict"} 0+2x90 182+10x30`,
		"SidecarInjectorSlow": `
sidecar_injector_review_duration_seconds_bucket{namespace="ns",pod="a",le="0.1"} 0+90x120`,
	}
}

// Every alert fires for its whole waiting period with its problem. Neither healthy replicas nor those of another
// namespace make it fire.
func TestAlerts(t *testing.T) {
	t.Parallel()
	rules, runbook := alerts(t), read(t, "../../docs/runbook.md")
	if len(rules) != len(problems()) {
		t.Errorf("%d alerts and %d problems", len(rules), len(problems()))
	}
	for _, rule := range rules {
		problem := with(healthy, problems()[rule.Alert])
		if !fires(t, &rule, problem) {
			t.Errorf("%s does not fire with\n%s", rule.Alert, problem)
		}
		elsewhere := strings.ReplaceAll(problem, `"ns"`, `"other"`)
		for _, series := range []string{healthy, healthy + elsewhere} {
			if fires(t, &rule, series) {
				t.Errorf("%s fires with\n%s", rule.Alert, series)
			}
		}
		want := "docs/runbook.md#" + strings.ToLower(rule.Alert)
		if got := rule.Annotations["runbook_url"]; got != want || !strings.Contains(runbook, "\n## "+rule.Alert+"\n") {
			t.Errorf("runbook_url is %s, want %s and a section of the runbook", got, want)
		}
	}
}

// TestDenialsOfANewProgram checks that denials without any an hour ago count as rising.
func TestDenialsOfANewProgram(t *testing.T) {
	t.Parallel()
	series := healthy + `
sidecar_injector_reviews_total{namespace="ns",pod="a",outcome="denied",reason="bad_parameter"} _x79 0+100x40`
	for _, rule := range alerts(t) {
		if want := rule.Alert == "SidecarInjectorDenialsRising"; fires(t, &rule, series) != want {
			t.Errorf("%s: fires %t, want %t", rule.Alert, !want, want)
		}
	}
}

// TestAlertsOfPrograms checks which alerts fire if the metrics of a program do not change for two hours.
func TestAlertsOfPrograms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		metrics string
		want    []string
	}{
		{scrapeWorking(t), []string{"SidecarInjectorDocumentRejected"}},
		{scrapeForbidden(t), []string{
			"SidecarInjectorDown", "SidecarInjectorCertificateReloadFailing", "SidecarInjectorReloadFailing",
		}},
	} {
		series := seriesOf(c.metrics)
		var got []string
		for _, rule := range alerts(t) {
			if fires(t, &rule, series) {
				got = append(got, rule.Alert)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q fire, want %q, with\n%s", got, c.want, series)
		}
	}
}

// seriesOf returns series of a pod that always has these metrics.
func seriesOf(metrics string) string {
	var series strings.Builder
	for line := range strings.Lines(metrics) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(name, "sidecar_injector_") {
			continue
		}
		name, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		fmt.Fprintf(&series, "%s{namespace=\"ns\",pod=\"a\",%s} %sx120\n", name, labels, value)
	}
	return series.String()
}

// with returns series in which some are replaced by others with the same labels.
func with(series, others string) string {
	for other := range strings.Lines(strings.TrimSpace(others) + "\n") {
		name, _, _ := strings.Cut(other, "} ")
		var kept strings.Builder
		for line := range strings.Lines(series) {
			if !strings.HasPrefix(line, name+"} ") {
				kept.WriteString(line)
			}
		}
		series = kept.String() + other
	}
	return series
}

// fires reports whether the alert fires after 119 minutes: whether its expression has the same result for as long as
// its waiting period.
func fires(t *testing.T, rule *rulefmt.Rule, series string) bool {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: deadline, Parser: parser.NewParser(parser.Options{}),
	})
	end := time.Unix(0, 0).Add(119 * time.Minute)
	wait := time.Duration(rule.For)
	query, err := engine.NewRangeQuery(
		t.Context(), newStorage(t, series), nil, rule.Expr, end.Add(-wait), end, time.Minute)
	if err != nil {
		t.Fatalf("%s: %v", rule.Alert, err)
	}
	defer query.Close()
	result, err := query.Exec(t.Context()).Matrix()
	if err != nil {
		t.Fatalf("%s: %v", rule.Alert, err)
	}
	return hasSeries(result, int(wait/time.Minute)+1)
}

func hasSeries(result promql.Matrix, samples int) bool {
	for _, series := range result {
		if len(series.Floats) == samples {
			return true
		}
	}
	return false
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
