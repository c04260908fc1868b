package monitoring_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// bin has the programs of the tests, see make cluster-bin.
const bin = "../.bin/"

// render renders a template of the chart, with a value.
func render(t *testing.T, template, value string) []byte {
	t.Helper()
	helm := exec.CommandContext(t.Context(), bin+"helm", "template", "injector", "../../deploy/chart", "--namespace=ns",
		"--show-only=templates/"+template, "--set="+value)
	output, err := helm.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return output
}

// alerts returns the rules of the chart, which Prometheus' own library validates.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	var object struct{ Spec json.RawMessage }
	if err := yaml.Unmarshal(render(t, "prometheusrule.yaml", "prometheusRule.enabled=true"), &object); err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(object.Spec, false, model.UTF8Validation, parser.NewParser(parser.Options{}))
	if errs != nil {
		t.Fatal(errs)
	}
	return groups.Groups[0].Rules
}

// dashboardQueries returns the queries of the dashboard, with values for the variables of Grafana.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	var object struct{ Data map[string]string }
	if err := yaml.Unmarshal(render(t, "dashboard.yaml", "dashboard.enabled=true"), &object); err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal([]byte(object.Data["sidecar-injector.json"]), &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$namespace", "ns", "$__rate_interval", "5m")
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, variables.Replace(target.Expr))
		}
	}
	if len(queries) == 0 {
		t.Fatal("the dashboard has no queries")
	}
	return queries
}

// metricsOf returns the names of the metrics of a query.
func metricsOf(t *testing.T, query string) (names []string) {
	t.Helper()
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok && !slices.Contains(names, selector.Name) {
			names = append(names, selector.Name)
		}
		return nil
	})
	return names
}

// checkMetrics checks that /metrics has all metrics of a query.
func checkMetrics(t *testing.T, metrics, query string) {
	t.Helper()
	names := metricsOf(t, query)
	if len(names) == 0 {
		t.Errorf("no metric in %s", query)
	}
	for _, name := range names {
		if !strings.Contains(metrics, "\n"+name+" ") && !strings.Contains(metrics, "\n"+name+"{") {
			t.Errorf("the program has no metric %s: %s", name, query)
		}
	}
}
