package server_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
	"k8s-sidecar-injector/store"
)

func TestMetricsLint(t *testing.T) {
	t.Parallel()
	i := newInjector(t, policy())
	review(t, i, string(recorded(t, "v1-deployment-pod")))
	problems, err := testutil.GatherAndLint(i.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

// The labels of reviews are outcomes, reasons and refs of sidecars.
func TestMetricsOfReviews(t *testing.T) {
	t.Parallel()
	i := newInjector(t, policy())
	for _, body := range []string{
		string(recorded(t, "v1-deployment-pod")),
		string(recorded(t, "v1beta1-deployment-pod")),
		string(recorded(t, "v1-bare-pod")),
		string(recorded(t, "v1-pod-without-request")),
		podReview(podRequesting("missing:v7", "app")),
		podReview(podRequesting("clash:v1", "app")),
		podReview(injectedPod(i, "late", `{"name":"app-logs"}`)),
		podReview(`{"spec":"text"}`),
		"no review",
	} {
		review(t, i, body)
	}
	err := testutil.GatherAndCompare(i.registry, strings.NewReader(`
# HELP sidecar_injector_injections_total Pods that a sidecar was injected into, by sidecar.
# TYPE sidecar_injector_injections_total counter
sidecar_injector_injections_total{sidecar="logger:latest"} 1
sidecar_injector_injections_total{sidecar="logger:v1"} 2
# HELP sidecar_injector_reviews_in_flight Admission reviews being answered now.
# TYPE sidecar_injector_reviews_in_flight gauge
sidecar_injector_reviews_in_flight 0
`+reviewCounts(map[mutate.Verdict]int{
		{Outcome: mutate.Denied, Reason: mutate.ReasonBadReview}:       2,
		{Outcome: mutate.Denied, Reason: mutate.ReasonConflict}:        1,
		{Outcome: mutate.Injected, Reason: mutate.ReasonInjected}:      3,
		{Outcome: mutate.Injected, Reason: mutate.ReasonCompleted}:     1,
		{Outcome: mutate.Skipped, Reason: mutate.ReasonNoAnnotation}:   1,
		{Outcome: mutate.Skipped, Reason: mutate.ReasonUnknownSidecar}: 1,
	})), "sidecar_injector_injections_total", "sidecar_injector_reviews_in_flight", "sidecar_injector_reviews_total")
	if err != nil {
		t.Error(err)
	}
	families, err := i.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "sidecar_injector_review_duration_seconds" {
			continue
		}
		// All but the invalid one.
		if got := family.GetMetric()[0].GetHistogram(); got.GetSampleCount() != 8 || got.GetSampleSum() <= 0 {
			t.Errorf("unexpected durations %v", got)
		}
	}
}

func TestMetricsOfReloads(t *testing.T) {
	t.Parallel()
	i := newInjector(t, policy())
	names := []string{
		"sidecar_injector_reloads_total", "sidecar_injector_certificate_reloads_total",
		"sidecar_injector_certificate_not_after_timestamp_seconds", "sidecar_injector_unreadable_sources",
	}
	compare := func(reloaded, failed, unreadable, loaded, bad, notAfter string) {
		t.Helper()
		err := testutil.GatherAndCompare(i.registry, strings.NewReader(`
# HELP sidecar_injector_certificate_not_after_timestamp_seconds Unix time at which the certificate in service expires.
# TYPE sidecar_injector_certificate_not_after_timestamp_seconds gauge
sidecar_injector_certificate_not_after_timestamp_seconds `+notAfter+`
# HELP sidecar_injector_certificate_reloads_total Loads of a new key pair, by result.
# TYPE sidecar_injector_certificate_reloads_total counter
sidecar_injector_certificate_reloads_total{result="error"} `+bad+`
sidecar_injector_certificate_reloads_total{result="success"} `+loaded+`
# HELP sidecar_injector_reloads_total Reloads of the sidecars, by result: `+
			`error when a source could not be read or a document was rejected.
# TYPE sidecar_injector_reloads_total counter
sidecar_injector_reloads_total{result="error"} `+failed+`
sidecar_injector_reloads_total{result="success"} `+reloaded+`
# HELP sidecar_injector_unreadable_sources Sources of definitions that cannot be read now; `+
			`all of them if the last reload panicked.
# TYPE sidecar_injector_unreadable_sources gauge
sidecar_injector_unreadable_sources `+unreadable+`
`), names...)
		if err != nil {
			t.Error(err)
		}
	}
	compare("0", "0", "0", "0", "0", "0")
	i.metrics.Reloaded(false, 2)
	compare("0", "1", "2", "0", "0", "0")
	if got := lastReload(t, i.registry); got != 0 {
		t.Errorf("a failed reload counts as success at %v", got)
	}
	before := time.Now()
	i.metrics.Reloaded(true, 0)
	if got := lastReload(t, i.registry); got < float64(before.Unix()) || got > float64(time.Now().Unix()+1) {
		t.Errorf("want the time of the reload, got %v", got)
	}
	i.metrics.CertificateLoaded(true, time.Unix(1800000000, 0))
	i.metrics.CertificateLoaded(false, time.Time{})
	compare("1", "1", "0", "1", "1", "1.8e+09")
}

func lastReload(t *testing.T, gatherer prometheus.Gatherer) float64 {
	t.Helper()
	families, err := gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "sidecar_injector_last_successful_reload_timestamp_seconds" {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("the metric is missing")
	return 0
}

func TestMetricsTwice(t *testing.T) {
	t.Parallel()
	registry, snapshots := prometheus.NewRegistry(), new(store.Store)
	if _, err := server.NewMetrics(registry, snapshots); err != nil {
		t.Fatal(err)
	}
	_, err := server.NewMetrics(registry, snapshots)
	if _, twice := errors.AsType[prometheus.AlreadyRegisteredError](err); !twice {
		t.Errorf("want an AlreadyRegisteredError, got %v", err)
	}
}

// The metrics of the snapshot describe the current one.
func TestMetricsOfSnapshots(t *testing.T) {
	t.Parallel()
	registry, snapshots := prometheus.NewRegistry(), new(store.Store)
	if _, err := server.NewMetrics(registry, snapshots); err != nil {
		t.Fatal(err)
	}
	compare := func(generation, info, sidecars, rejections, stale string) {
		t.Helper()
		err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP sidecar_injector_snapshot_generation Snapshots published by this process; 0 before the first.
# TYPE sidecar_injector_snapshot_generation gauge
sidecar_injector_snapshot_generation `+generation+info+`
# HELP sidecar_injector_snapshot_rejections Documents rejected by the last reload.
# TYPE sidecar_injector_snapshot_rejections gauge
sidecar_injector_snapshot_rejections `+rejections+`
# HELP sidecar_injector_snapshot_sidecars Sidecars served.
# TYPE sidecar_injector_snapshot_sidecars gauge
sidecar_injector_snapshot_sidecars `+sidecars+`
# HELP sidecar_injector_snapshot_stale_documents Sidecars served from the `+
			`last valid version of a document that is now rejected.
# TYPE sidecar_injector_snapshot_stale_documents gauge
sidecar_injector_snapshot_stale_documents `+stale+`
`), "sidecar_injector_snapshot_generation", "sidecar_injector_snapshot_info", "sidecar_injector_snapshot_rejections",
			"sidecar_injector_snapshot_sidecars", "sidecar_injector_snapshot_stale_documents")
		if err != nil {
			t.Error(err)
		}
	}
	info := func(digest string) string {
		return `
# HELP sidecar_injector_snapshot_info Digest of the content served; the same on all replicas with the same content.
# TYPE sidecar_injector_snapshot_info gauge
sidecar_injector_snapshot_info{digest="` + digest + `"} 1`
	}
	compare("0", "", "0", "0", "0")

	origin := conf.Origin{Root: "conf", Name: "a.yaml"}
	first := conf.Load(conf.Split(origin, []byte(sidecars)), nil)
	snapshots.Publish(first)
	compare("1", info(first.Digest), "3", "0", "0")

	// The first of three documents becomes invalid, and its last valid version stays in service.
	broken := conf.Load(conf.Split(origin, []byte(strings.Replace(sidecars, "volumes:", "volume:", 1))), first)
	snapshots.Publish(broken)
	compare("2", info(first.Digest), "3", "1", "1")
}

// Rejections are counted by file, and the number of series is bounded.
func TestMetricsOfRejections(t *testing.T) {
	t.Parallel()
	registry, snapshots := prometheus.NewRegistry(), new(store.Store)
	if _, err := server.NewMetrics(registry, snapshots); err != nil {
		t.Fatal(err)
	}
	var documents []conf.Document
	for _, name := range []string{"first.yaml", "a\x01.yaml", "a\x02.yaml"} {
		documents = append(documents, conf.Split(conf.Origin{Root: "conf", Name: name}, []byte("x: 1\n---\nx: 2\n"))...)
	}
	key := conf.Origin{Kind: conf.ConfigMap, Root: "sidecars/team", Name: "a.yaml"}
	snapshots.Publish(conf.Load(append(documents, conf.Split(key, []byte("x: 1\n"))...), nil))
	const metric = "sidecar_injector_rejected_documents"
	header := "# HELP " + metric + " Documents rejected by the last reload, by the file or ConfigMap key.\n" +
		"# TYPE " + metric + " gauge\n"
	err := testutil.GatherAndCompare(registry, strings.NewReader(header+
		metric+`{origin="configmap sidecars/team[a.yaml]"} 1
`+metric+`{origin="file conf/a�.yaml"} 4
`+metric+`{origin="file conf/first.yaml"} 2
`), metric)
	if err != nil {
		t.Error(err)
	}
	for i := range 200 {
		origin := conf.Origin{Root: "conf", Name: fmt.Sprintf("many%d.yaml", i)}
		documents = append(documents, conf.Split(origin, []byte("x: 1\n"))...)
	}
	snapshots.Publish(conf.Load(documents, nil))
	if count, err := testutil.GatherAndCount(registry, metric); count != 101 || err != nil {
		t.Errorf("%d series, %v", count, err)
	}
}

// The table in docs/reasons.md has all reasons with their outcomes, in order.
func TestReasonsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	policies := map[mutate.Reason]string{
		mutate.ReasonBadRequest: "`--on-unknown`", mutate.ReasonUnknownSidecar: "`--on-unknown`",
		mutate.ReasonNotAllowed:   "`--on-unknown`",
		mutate.ReasonBadParameter: "`--on-conflict`", mutate.ReasonConflict: "`--on-conflict`",
	}
	var want []string
	for _, v := range mutate.Verdicts() {
		outcome := policies[v.Reason]
		if outcome == "" {
			outcome = string(v.Outcome)
		}
		row := fmt.Sprintf("%s: %s", v.Reason, outcome)
		if !slices.Contains(want, row) {
			want = append(want, row)
		}
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([^|]*) \\| [^|]+ "+
		"\\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, row[1]+": "+row[2])
	}
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("docs/reasons.md (-want +got):\n%s", diff)
	}
}

// The table in docs/reasons.md has all causes of refusals.
func TestCausesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	if _, err := server.NewMetrics(registry, new(store.Store)); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var want, documented []string
	for _, family := range families {
		if family.GetName() == "sidecar_injector_requests_refused_total" {
			for _, metric := range family.GetMetric() {
				want = append(want, metric.GetLabel()[0].GetValue())
			}
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| [0-9, ]+ \\| `([a-z_]+)` ").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, row[1])
	}
	slices.Sort(documented)
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("docs/reasons.md (-want +got):\n%s", diff)
	}
}
