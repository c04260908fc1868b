package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
)

const (
	// playgroundFile is the name of the posted manifests in errors and in the diff.
	playgroundFile = "manifests.yaml"
	// maxPlaygroundPods limits the pods of a form, because each may get all sidecars.
	maxPlaygroundPods = 100
	// maxExamples limits the sidecars that are tried for an example.
	maxExamples = 100
)

// exampleManifest has verbs for the annotation and the ref of a sidecar.
const exampleManifest = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
      annotations:
        %s: %q
    spec:
      containers:
      - name: web
        image: docker.io/library/nginx:1.29
`

// playground runs the commands inject and explain for the playground page. Each call uses the snapshot in service.
type playground struct {
	snapshots  server.Snapshots
	policy     *mutate.Policy
	namespaces namespaceDefaults // nil if disabled
}

// newInjector returns an injector like that of the commands without flags.
func (p *playground) newInjector(report io.Writer) *manifestInjector {
	return &manifestInjector{
		snapshot: p.snapshots.Current(), policy: p.policy, namespaces: p.namespaces, namespace: "default", report: report,
	}
}

// Example implements server.Playground. It returns a manifest for the first sidecar that can be injected into it. If
// there is none, the manifest requests the first sidecar, or one of the samples.
func (p *playground) Example(ctx context.Context) string {
	injector := p.newInjector(io.Discard)
	example, tried := "", 0
	for sidecar := range injector.snapshot.Sidecars() {
		text := fmt.Sprintf(exampleManifest, p.policy.RequestAnnotation(), sidecar.Ref)
		results, err := injector.explain(ctx, conf.SplitManifests(conf.Origin{Name: playgroundFile}, []byte(text))[0])
		if err == nil && results[0].injected != nil && results[0].faults == nil {
			return text
		}
		example = cmp.Or(example, text)
		if tried++; tried == maxExamples {
			break
		}
	}
	return cmp.Or(example, fmt.Sprintf(exampleManifest, p.policy.RequestAnnotation(), "logger:v1"))
}

// Inject implements server.Playground.
func (p *playground) Inject(ctx context.Context, manifests string) *server.Injection {
	f, err := parseManifests(playgroundFile, []byte(manifests))
	if err != nil {
		return &server.Injection{Errors: []string{err.Error()}}
	}
	var report bytes.Buffer
	injector := p.newInjector(&report)
	result := new(server.Injection)
	result.Explanations, result.Errors = injector.explainFile(ctx, f)
	if result.Errors != nil {
		return result
	}
	report.Reset() // injectFile reports the same
	result.Errors = injector.injectFile(ctx, f)
	for line := range strings.Lines(report.String()) {
		result.Results = append(result.Results, strings.TrimSuffix(line, "\n"))
	}
	if result.Errors == nil {
		result.Injected, result.Diff = string(f.edited()), string(f.diff())
	}
	return result
}

// explainFile returns an explanation for each pod of a file, and the errors.
func (i *manifestInjector) explainFile(ctx context.Context, f *manifestFile) ([]server.Explanation, []string) {
	var explanations []server.Explanation
	var errs []string
	pods := 0
	for _, document := range f.documents {
		_, err := i.visit(ctx, document, func(r *podResult) error {
			if pods++; pods <= maxPlaygroundPods {
				explanations = append(explanations, newPageExplanation(r))
			}
			return nil
		})
		if err != nil {
			errs = append(errs, errorLines(err)...)
		}
	}
	if pods > maxPlaygroundPods {
		return nil, []string{fmt.Sprintf("%s: %d pods; want at most %d", f.name, pods, maxPlaygroundPods)}
	}
	return explanations, errs
}

// injectFile injects sidecars into a file, and returns the errors.
func (i *manifestInjector) injectFile(ctx context.Context, f *manifestFile) []string {
	var errs []string
	for _, document := range f.documents {
		text, err := i.inject(ctx, document)
		if err != nil {
			errs = append(errs, errorLines(err)...)
		}
		f.replace(document, text)
	}
	return errs
}

func newPageExplanation(r *podResult) server.Explanation {
	outcome := r.decision.Outcome
	// The page shows the outcome apart from the rest.
	decision := strings.TrimLeft(strings.TrimPrefix(r.String(), string(outcome)), ",: ")
	x := server.Explanation{Pod: r.podName(), Outcome: outcome, Decision: decision, Notes: r.notes()}
	for _, t := range r.tables(false) {
		t.Caption = cmp.Or(t.Caption, "Parameters")
		x.Tables = append(x.Tables, server.Table(t))
	}
	return x
}
