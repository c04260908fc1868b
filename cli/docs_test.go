package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/cli"
)

// documented compares the generated parts of a page of docs with the program. A part is the table of metrics, or a
// sample of the API: a request whose body is in a file of the script, with its response.
func (d *daemon) documented(ts *testscript.TestScript, _ bool, args []string) {
	checkArguments(ts, args, 1, "documented PAGE")
	names := cli.CompareDocs(ts, "../docs/"+args[0], func(name string) string {
		if name == "metrics" {
			_, exposition := d.get("/metrics")
			return metricTable(exposition)
		}
		return d.sample(ts, strings.Fields(name))
	})
	if names == nil {
		ts.Fatalf("docs/%s has no generated part", args[0])
	}
}

// sample sends a request and returns it with its response as blocks of Markdown.
func (d *daemon) sample(ts *testscript.TestScript, request []string) string {
	if len(request) == 2 {
		code, body := d.get(request[1])
		return sampleBlock(code, body)
	}
	content, err := yaml.YAMLToJSONStrict([]byte(ts.ReadFile(request[2])))
	ts.Check(err)
	client := newClient(true)
	defer client.CloseIdleConnections()
	response, err := client.Post("https://"+d.webhook+request[1], "application/json", bytes.NewReader(content))
	ts.Check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	return sampleBlock(0, string(content)) + "\n" + sampleBlock(response.StatusCode, string(body))
}

// varying are the times in samples.
var varying = regexp.MustCompile(`"20\d\d-[0-9T:.-]+Z"`)

// sampleBlock returns a body, indented if it is JSON. The code of a request is 0.
func sampleBlock(code int, body string) string {
	language, indented := "text", new(bytes.Buffer)
	if err := json.Indent(indented, []byte(body), "", "  "); err == nil {
		language, body = "json", indented.String()
	}
	body = varying.ReplaceAllString(body, `"2026-01-02T15:04:05Z"`)
	heading := "Request:"
	if code != 0 {
		heading = fmt.Sprintf("Response, %d %s:", code, http.StatusText(code))
	}
	return heading + "\n\n```" + language + "\n" + strings.TrimSpace(body) + "\n```\n"
}

var (
	metricHelp  = regexp.MustCompile(`(?m)^# HELP (sidecar_injector_\w+) (.*)\n# TYPE \w+ (\w+)$`)
	metricLabel = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
)

// metricTable returns a table of the metrics in a text. Labels with a closed set of values have the values.
func metricTable(exposition string) string {
	var out strings.Builder
	out.WriteString("| metric | type | labels | |\n| --- | --- | --- | --- |\n")
	for _, metric := range metricHelp.FindAllStringSubmatch(exposition, -1) {
		labels := make(map[string][]string)
		series := regexp.MustCompile(`(?m)^` + metric[1] + `\{(.*)\} `)
		for _, line := range series.FindAllStringSubmatch(exposition, -1) {
			for _, label := range metricLabel.FindAllStringSubmatch(line[1], -1) {
				if !slices.Contains(labels[label[1]], label[2]) {
					labels[label[1]] = append(labels[label[1]], label[2])
				}
			}
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", metric[1], metric[3], labelText(labels), metric[2])
	}
	return out.String()
}

// labelText returns the labels of a metric.
func labelText(labels map[string][]string) string {
	var texts []string
	for name, values := range labels {
		text := "`" + name + "`"
		if slices.Contains([]string{"cause", "outcome", "port", "result"}, name) {
			text += ": `" + strings.Join(values, "`, `") + "`"
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return strings.Join(texts, "; ")
}
