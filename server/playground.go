package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"k8s-sidecar-injector/mutate"
)

const (
	// PlaygroundPath is the path of the playground on the lifecycle port.
	PlaygroundPath = "/playground"

	// maxForm limits the body of a form, in bytes. Its manifests are encoded, so they are smaller.
	maxForm = 256 << 10
	// injectTimeout limits the lookups of namespaces, so that there is time to send the response.
	injectTimeout = writeTimeout / 2
)

// Playground injects the manifests of the playground page. It must be safe for concurrent use.
type Playground interface {
	// Example returns a manifest whose pod gets a sidecar in service.
	Example(ctx context.Context) string
	// Inject injects the sidecars in service into manifests.
	Inject(ctx context.Context, manifests string) *Injection
}

// Injection is the result of injecting sidecars into manifests.
type Injection struct {
	// Errors are the reasons why nothing is injected. Each is a line.
	Errors []string
	// Results has a line for each object and warning.
	Results []string
	// Injected are the manifests with the sidecars, and Diff is what changed. Both are empty if there are errors, and
	// Diff is empty if nothing changed.
	Injected, Diff string
	// Explanations has an element for each pod, even if there are errors.
	Explanations []Explanation
}

// Explanation explains the decision about a pod.
type Explanation struct {
	Pod      string // kind, namespace and name of the object
	Outcome  mutate.Outcome
	Decision string // reason, sidecars and message
	Notes    []string
	Tables   []Table
}

// Table is a table with a caption. Each row has a cell for each column.
type Table struct {
	Caption string
	Columns []string
	Rows    [][]string
}

// playgroundView is the content of the playground page.
type playgroundView struct {
	manifests string
	result    *Injection // nil before manifests are sent
}

func (v *playgroundView) title() string {
	title := "Playground – sidecar injector"
	if v.result != nil && v.result.Errors != nil {
		return "Error: " + title
	}
	return title
}

// playgroundHandlers returns the handlers of the playground by ServeMux pattern. Other sites cannot send manifests.
func (r *statusReader) playgroundHandlers() map[string]http.Handler {
	if r.Playground == nil {
		return nil
	}
	return map[string]http.Handler{
		"GET " + PlaygroundPath:  localName(http.HandlerFunc(r.servePlayground)),
		"POST " + PlaygroundPath: localName(http.NewCrossOriginProtection().Handler(http.HandlerFunc(r.serveInjection))),
	}
}

// servePlayground responds with the form.
func (r *statusReader) servePlayground(w http.ResponseWriter, request *http.Request) {
	r.renderPlayground(w, request, http.StatusOK, &playgroundView{manifests: r.Playground.Example(request.Context())})
}

// serveInjection responds with the form as sent, and the result.
func (r *statusReader) serveInjection(w http.ResponseWriter, request *http.Request) {
	request.Body = http.MaxBytesReader(w, request.Body, maxForm)
	if err := request.ParseForm(); err != nil {
		code, text := http.StatusBadRequest, "the form cannot be read: "+err.Error()
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			code, text = http.StatusRequestEntityTooLarge, fmt.Sprintf("the form is larger than %d KiB", maxForm>>10)
		}
		r.renderPlayground(w, request, code, &playgroundView{result: &Injection{Errors: []string{text}}})
		return
	}
	ctx, cancel := context.WithTimeout(request.Context(), injectTimeout)
	defer cancel()
	// A browser sends \r\n for each line end of a text area.
	view := &playgroundView{manifests: strings.ReplaceAll(request.PostForm.Get("manifests"), "\r\n", "\n")}
	view.result = r.Playground.Inject(ctx, view.manifests)
	code := http.StatusOK
	if view.result.Errors != nil {
		code = http.StatusUnprocessableEntity
	}
	r.renderPlayground(w, request, code, view)
}

// renderPlayground sends the page. A browser that does not send Sec-Fetch-Site must send the origin of the form, which
// it would not with the policy of other pages.
func (r *statusReader) renderPlayground(w http.ResponseWriter, request *http.Request, code int, view *playgroundView) {
	w.Header().Set("Referrer-Policy", "same-origin")
	render(w, request, code, playgroundPage(view))
}

// class returns the class of the tag of an outcome.
func (x *Explanation) class() string {
	switch x.Outcome {
	case mutate.Injected:
		return "good"
	case mutate.Denied:
		return "bad"
	case mutate.Skipped:
	}
	return "warn"
}

// diffLines returns a unified diff with elements for its removed and added lines.
func diffLines(diff string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		header, hunks, _ := strings.Cut(diff, "@@")
		_, err := io.WriteString(w, templ.EscapeString(header))
		for line := range strings.Lines("@@" + hunks) {
			text := templ.EscapeString(line)
			switch line[0] {
			case '+':
				text = "<ins>" + text + "</ins>"
			case '-':
				text = "<del>" + text + "</del>"
			}
			if err == nil {
				_, err = io.WriteString(w, text)
			}
		}
		return err
	})
}

// columns returns the columns of a table.
func (t *Table) columns() []column {
	columns := make([]column, len(t.Columns))
	for i, name := range t.Columns {
		columns[i] = column{name: name}
	}
	return columns
}
