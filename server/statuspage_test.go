package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/html"
)

// TestStatusPages compares the text of each page. Each line is a block.
func TestStatusPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newStatusFixture(t)
		f.publishAll(t)
		for path, name := range map[string]string{
			"/": "page_status.txt", "/sidecars/heir:latest": "page_heir.txt", "/sidecars/proxy": "page_proxy.txt",
			"/sidecars/<b>missing": "page_missing.txt",
		} {
			compareGolden(t, name, textOf(parsePage(t, f.get(path).Body.String())))
		}
		f.leaf, f.pending, f.sources = nil, nil, nil
		serve(t, f.snapshots, "name: other\n")
		compareGolden(t, "page_ready.txt", textOf(parsePage(t, f.get("/?refresh=off").Body.String())))
	})
}

// TestStatusPagesAreAccessible verifies what assistive technology needs, and that no text becomes an element.
func TestStatusPagesAreAccessible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newStatusFixture(t)
		f.publishAll(t)
		for _, path := range append(pagePaths(), "/sidecars/<b>missing") {
			w := f.get(path)
			if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
				t.Errorf("%s: %s", path, got)
			}
			body := w.Body.String()
			wantBalanced(t, path, body)
			root := parsePage(t, body)
			wantAccessible(t, path, root)
			for node := range root.Descendants() {
				if slices.Contains([]string{"script", "style", "b", "iframe", "form"}, node.Data) && node.Type == html.ElementNode {
					t.Errorf("%s has an element %s", path, node.Data)
				}
			}
		}
	})
}

// wantBalanced verifies that each start tag has its end tag.
func wantBalanced(t *testing.T, path, body string) {
	t.Helper()
	var open []string
	void := []string{"meta", "link", "br"}
	for tokens := html.NewTokenizer(strings.NewReader(body)); ; {
		kind := tokens.Next()
		token := tokens.Token()
		switch {
		case kind == html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("%s: not closed: %v", path, open)
			}
			return
		case kind == html.StartTagToken && !slices.Contains(void, token.Data):
			open = append(open, token.Data)
		case kind == html.EndTagToken && (len(open) == 0 || open[len(open)-1] != token.Data):
			t.Fatalf("%s: </%s> in %v", path, token.Data, open)
		case kind == html.EndTagToken:
			open = open[:len(open)-1]
		}
	}
}

func wantAccessible(t *testing.T, path string, root *html.Node) {
	t.Helper()
	count := make(map[string]int)
	ids := make(map[string]bool)
	for node := range root.Descendants() {
		if node.Type != html.ElementNode {
			continue
		}
		count[node.Data]++
		for _, attribute := range node.Attr {
			if attribute.Key == "style" || strings.HasPrefix(attribute.Key, "on") {
				t.Errorf("%s: the attribute %s violates the Content-Security-Policy", path, attribute.Key)
			}
		}
		if id := attributeOf(node, "id"); id != "" {
			if ids[id] {
				t.Errorf("%s: two elements have the id %s", path, id)
			}
			ids[id] = true
		}
		if fault := faultOf(node); fault != "" {
			t.Errorf("%s: <%s> %s", path, node.Data, fault)
		}
	}
	for node := range root.Descendants() {
		if id := attributeOf(node, "aria-labelledby"); id != "" && !ids[id] {
			t.Errorf("%s: no element has the id %s", path, id)
		}
	}
	for _, name := range []string{"html", "title", "main", "header", "h1"} {
		if count[name] != 1 {
			t.Errorf("%s: %d elements %s", path, count[name], name)
		}
	}
}

// faultOf returns what an element lacks.
func faultOf(node *html.Node) string {
	want := map[string]string{
		"html": "lang", "th": "scope", "td": "data-label", "table": "role", "tr": "role", "tbody": "role", "time": "datetime",
	}[node.Data]
	switch {
	case want != "" && attributeOf(node, want) == "":
		return "has no " + want
	case node.Data == "table" && (node.FirstChild == nil || node.FirstChild.Data != "caption"):
		return "has no caption"
	case node.Data == "section" && attributeOf(node, "aria-label")+attributeOf(node, "aria-labelledby") == "":
		return "has no name"
	case node.Data == "a" && strings.TrimSpace(textOf(node)) == "":
		return "has no text"
	case node.Data == "a" && !strings.HasPrefix(attributeOf(node, "href"), "/") && attributeOf(node, "class") != "skip":
		return "leaves the page"
	}
	return ""
}

func attributeOf(node *html.Node, key string) string {
	for _, attribute := range node.Attr {
		if attribute.Key == key {
			return attribute.Val
		}
	}
	return ""
}

func parsePage(t *testing.T, body string) *html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// textOf returns the text of a node, with a line for each block and bars between the cells of a row.
func textOf(node *html.Node) string {
	var text strings.Builder
	writeText(&text, node)
	var lines []string
	for line := range strings.Lines(text.String()) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, strings.TrimSuffix(line, " |"))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

func writeText(text *strings.Builder, node *html.Node) {
	if node.Type == html.TextNode {
		if node.Parent.Data == "code" && node.Parent.Parent.Data == "pre" {
			text.WriteString(strings.ReplaceAll(node.Data, "  ", "··"))
			return
		}
		text.WriteString(strings.ReplaceAll(node.Data, "\n", " "))
	}
	for child := range node.ChildNodes() {
		writeText(text, child)
	}
	switch node.Data {
	case "td", "th", "dt":
		text.WriteString(" | ")
	case "title", "caption", "p", "li", "h1", "h2", "header", "tr", "dd", "br", "pre":
		text.WriteString("\n")
	case "div":
		if strings.HasPrefix(node.Parent.Data, "d") { // a dl or dd
			text.WriteString("\n")
		}
		text.WriteString("  ")
	}
}

// TestStatusOfManySidecars verifies that the size of a page is limited, and that the API has all sidecars.
func TestStatusOfManySidecars(t *testing.T) {
	t.Parallel()
	f := newStatusFixture(t)
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "---\nname: s-%04d\n", i)
	}
	f.publish(many.String(), nil)
	body := f.get("/").Body.String()
	for text, want := range map[string]bool{
		">s-0499:latest<": true, ">s-0500:latest<": false, "The first 500 of 1000 sidecars.": true,
	} {
		if strings.Contains(body, text) != want {
			t.Errorf("the page contains %s: %t", text, !want)
		}
	}
	if got := strings.Count(f.get("/api/v1/sidecars").Body.String(), `"ref"`); got != 1000 {
		t.Errorf("the listing has %d sidecars", got)
	}
}

// TestPageOfControlCharacters verifies that the page shows texts with characters that YAML has only escaped.
func TestPageOfControlCharacters(t *testing.T) {
	t.Parallel()
	f := newStatusFixture(t)
	f.publish(`{"name": "odd", "containers": [{"name": "c", "image": "i", "args": ["\u009b31m\u007f"]}]}`, nil)
	if w := f.get("/sidecars/odd"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `\x9B31m\x7F`) {
		t.Errorf("got %d: %s", w.Code, w.Body)
	}
}

func TestPageOfLargeSidecar(t *testing.T) {
	t.Parallel()
	f := newStatusFixture(t)
	f.publish("name: large\ncontainers: [{name: c, image: i, args: [\""+strings.Repeat("ä", 150<<10)+"\"]}]\n", nil)
	w := f.get("/sidecars/large")
	if body := w.Body.String(); w.Code != http.StatusOK || len(body) > 300<<10 ||
		!strings.Contains(body, "The rest is omitted. See file conf/") || strings.Contains(body, "\ufffd") {
		t.Errorf("got %d, %d bytes", w.Code, len(body))
	}
	if w := f.get("/sidecars/missing"); w.Code != http.StatusNotFound {
		t.Errorf("got %d for a sidecar that does not exist", w.Code)
	}
}
