package server_test

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/server"
)

// playground is a server.Playground with a fixed result.
type playground struct {
	result    server.Injection
	manifests string // as received
}

func (*playground) Example(context.Context) string { return "\nkind: </textarea>" + markup + "\n" }

func (p *playground) Inject(_ context.Context, manifests string) *server.Injection {
	p.manifests = manifests
	return &p.result
}

// newPlayground returns a playground that shows markup everywhere, and its handler.
func newPlayground() (*playground, http.Handler) {
	p := &playground{result: server.Injection{
		Results:  []string{"pod/web: injected " + markup},
		Injected: "kind: Pod\nx: " + markup + "</code></pre>\n",
		Diff: "diff a b\n--- a\n+++ b\n@@ -1,3 +1,3 @@\n kind: Pod\n--- removed " + markup + "\n" +
			"+++ added " + markup + "\n",
		Explanations: []server.Explanation{
			{
				Pod: "Pod default/" + markup, Outcome: mutate.Injected, Decision: markup, Notes: []string{"warning: " + markup},
				Tables: []server.Table{
					{Caption: "Parameters", Columns: []string{"Sidecar", "Value"}, Rows: [][]string{{"a", markup}}},
					{Caption: markup, Columns: []string{"Field", "Name"}, Rows: [][]string{{"env", markup}, {"volumes", ""}}},
				},
			},
			{Pod: "Pod default/b", Outcome: mutate.Skipped, Decision: "no_annotation"},
			{Pod: "Pod default/c", Outcome: mutate.Denied, Decision: "conflict: " + markup},
		},
	}}
	return p, newPlaygroundHandler(p)
}

func newPlaygroundHandler(p server.Playground) http.Handler {
	return server.NewStatusHandler(server.StatusOptions{
		Playground: p, Sources: func() []server.Source { return nil },
		Certificate: func() (*x509.Certificate, time.Time) { return nil, time.Time{} },
	}, nil, func() []string { return nil })
}

// post sends a form, with headers in pairs.
func post(handler http.Handler, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "http://localhost"+server.PlaygroundPath, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for pair := range slices.Chunk(headers, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func form(manifests string) string { return url.Values{"manifests": {manifests}}.Encode() }

// TestPlaygroundPage compares the text of the page, and verifies that it is accessible and that no text becomes an
// element.
func TestPlaygroundPage(t *testing.T) {
	t.Parallel()
	p, handler := newPlayground()
	const sent = "\r\nkind: Pod</textarea>" + markup + "\r\n"
	first := httptest.NewRecorder()
	handler.ServeHTTP(first, httptest.NewRequest(http.MethodGet, "http://localhost"+server.PlaygroundPath, nil))
	injected := post(handler, form(sent))
	p.result.Errors, p.result.Injected, p.result.Diff = []string{"manifests.yaml:1: " + markup}, "", ""
	denied := post(handler, form(sent))
	for name, w := range map[string]*httptest.ResponseRecorder{
		"page_playground.txt": first, "page_injected.txt": injected, "page_denied.txt": denied,
	} {
		wantBalanced(t, name, w.Body.String())
		root := parsePage(t, w.Body.String())
		compareGolden(t, name, textOf(root))
		wantAccessible(t, name, root)
		wantForm(t, name, root)
	}
	if first.Code != http.StatusOK || injected.Code != http.StatusOK || denied.Code != http.StatusUnprocessableEntity {
		t.Errorf("got %d, %d and %d", first.Code, injected.Code, denied.Code)
	}
	if want := strings.ReplaceAll(sent, "\r\n", "\n"); p.manifests != want || valueOf(t, injected) != want {
		t.Errorf("received %q, shows %q, want %q", p.manifests, valueOf(t, injected), want)
	}
}

// valueOf returns the value of the text area of a page.
func valueOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	for node := range parsePage(t, w.Body.String()).Descendants() {
		if node.Data == "textarea" {
			return node.FirstChild.Data
		}
	}
	return "no text area"
}

// wantForm verifies that the form has labels and stays on the page, and that no text is markup.
func wantForm(t *testing.T, name string, root *html.Node) {
	t.Helper()
	labelled := make(map[string]bool)
	for node := range root.Descendants() {
		if node.Type != html.ElementNode {
			continue
		}
		switch node.Data {
		case "script", "style", "b", "iframe", "input":
			t.Errorf("%s has an element %s", name, node.Data)
		case "label":
			labelled[attributeOf(node, "for")] = true
		case "textarea":
			if !labelled[attributeOf(node, "id")] {
				t.Errorf("%s: the text area has no label", name)
			}
		case "form":
			if got := attributeOf(node, "action"); got != "/playground#result" || attributeOf(node, "method") != "post" {
				t.Errorf("%s: the action is %s", name, got)
			}
		}
	}
}

// TestPlaygroundRefuses verifies that forms of other sites and forms that are too large are not injected.
func TestPlaygroundRefuses(t *testing.T) {
	t.Parallel()
	p, handler := newPlayground()
	for name, test := range map[string]struct {
		body    string
		headers []string
		code    int
		want    string
	}{
		"curl":        {form("a"), nil, http.StatusOK, "Result"},
		"same origin": {form("a"), []string{"Sec-Fetch-Site", "same-origin", "Origin", "null"}, http.StatusOK, "Result"},
		"old browser": {form("a"), []string{"Origin", "http://localhost"}, http.StatusOK, "Result"},
		"cross site":  {form("a"), []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden, "cross-origin request"},
		"other port":  {form("a"), []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden, "cross-origin request"},
		"old cross":   {form("a"), []string{"Origin", "http://evil.example"}, http.StatusForbidden, "cross-origin request"},
		"large":       {form(strings.Repeat("a", 256<<10)), nil, http.StatusRequestEntityTooLarge, "larger than 256 KiB"},
		"bad escape":  {"manifests=%zz", nil, http.StatusBadRequest, "the form cannot be read: invalid URL escape"},
	} {
		p.manifests = ""
		w := post(handler, test.body, test.headers...)
		if w.Code != test.code || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
		if (p.manifests != "") != (test.code == http.StatusOK) {
			t.Errorf("%s: the playground got %q", name, p.manifests)
		}
	}
}

// TestPlaygroundName verifies that a site whose name leads to this machine has no playground.
func TestPlaygroundName(t *testing.T) {
	t.Parallel()
	_, handler := newPlayground()
	for host, code := range map[string]int{
		"localhost": 200, "LocalHost:80": 200, "127.0.0.1:80": 200, "[::1]:80": 200, "[::1]": 200,
		"evil.example": 403, "evil.example:80": 403, "localhost.evil.example": 403, "10.0.0.1": 403, "": 403,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			w, r := httptest.NewRecorder(), httptest.NewRequest(method, server.PlaygroundPath, nil)
			r.Host = host
			r.Header.Set("Origin", "http://"+host)
			if handler.ServeHTTP(w, r); w.Code != code {
				t.Errorf("%s at %q: got %d, want %d", method, host, w.Code, code)
			}
		}
	}
}

// TestPlaygroundHeaders verifies that a browser without Sec-Fetch-Site sends the origin of the form.
func TestPlaygroundHeaders(t *testing.T) {
	t.Parallel()
	_, handler := newPlayground()
	header := post(handler, form("a")).Header()
	if got := header.Get("Referrer-Policy"); got != "same-origin" {
		t.Errorf("Referrer-Policy %s", got)
	}
	policy := strings.Split(header.Get("Content-Security-Policy"), "; ")
	if !slices.Contains(policy, "form-action 'self'") || !slices.Contains(policy, "default-src 'none'") {
		t.Errorf("Content-Security-Policy %q", policy)
	}
}

// TestNoPlayground verifies that the page does not exist unless it is enabled.
func TestNoPlayground(t *testing.T) {
	t.Parallel()
	f := newStatusFixture(t)
	if w := f.get(server.PlaygroundPath); w.Code != http.StatusNotFound {
		t.Errorf("got %d", w.Code)
	}
	if w := post(f, form("a")); w.Code != http.StatusNotFound {
		t.Errorf("got %d", w.Code)
	}
	if body := f.get("/").Body.String(); strings.Contains(body, server.PlaygroundPath) {
		t.Errorf("the status page has a link: %s", body)
	}
}
