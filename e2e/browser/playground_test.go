package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// hostile is a manifest with text that would be markup if it was not escaped.
const hostile = `apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    injector.tumblr.com/request: "logger:v1, </textarea><script>alert(1)</script>"
    x: "</code></pre><img src=x onerror=alert(1)>"
spec:
  containers: [{name: web, image: nginx}]
`

// send replaces the manifests in the form, unless they are empty, and sends it. It waits for the result.
func (b *tab) send(t *testing.T, manifests string) {
	t.Helper()
	if manifests != "" {
		b.do(t, chromedp.SetValue(chromedp.ID("manifests"), manifests))
	}
	evaluate[bool](t, b, `document.querySelector("#result")?.remove() === undefined`)
	// The page may still scroll, so a click could miss the button.
	b.do(t, chromedp.Focus(chromedp.CSS("button")), chromedp.KeyEvent(kb.Enter),
		chromedp.WaitVisible(chromedp.ID("result")))
	// Before, the layout may be that without the stylesheet.
	if _, err := chromedp.Run(b.Context, chromedp.Poll[bool](`document.readyState === "complete"`)); err != nil {
		t.Fatal(err)
	}
}

// TestPlayground verifies the page before and after manifests are sent: the example, an error, and hostile text.
func TestPlayground(t *testing.T) {
	t.Parallel()
	url := start(t)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{375, 1280} {
			b := open(t, scheme, width)
			b.do(t, chromedp.Navigate(url), chromedp.WaitVisible("h1"), chromedp.Click(chromedp.CSS(`a[href="/playground"]`)),
				chromedp.WaitVisible(chromedp.ID("manifests")))
			for _, test := range []struct{ manifests, want string }{
				{"", "deployment/web: injected heir:latest"},
				{"apiVersion: v1\n", "manifests.yaml:1: not a Kubernetes object: kind or apiVersion is missing"},
				{hostile, `skipped, bad_request_annotation`},
			} {
				b.send(t, test.manifests)
				name := fmt.Sprintf("%q, %s, %d px", test.want, scheme, width)
				result := evaluate[string](t, b, `document.querySelector("#result").textContent`)
				value := evaluate[string](t, b, `document.querySelector("#manifests").value`)
				if !strings.Contains(result, test.want) || test.manifests != "" && value != test.manifests {
					t.Errorf("%s: the result is %s, and the form has %q", name, result, value)
				}
				wide, faintTexts := evaluate[[]string](t, b, overflow), evaluate[[]string](t, b, faint)
				elements := evaluate[[]string](t, b, `[...document.querySelectorAll("script, img, style")].map(e => e.outerHTML)`)
				if len(wide)+len(faintTexts)+len(elements) > 0 {
					t.Errorf("%s: too wide: %q; contrast: %q; elements: %q", name, wide, faintTexts, elements)
				}
			}
			b.mutex.Lock()
			// The browser reports the response 422 of an error.
			errors := slices.DeleteFunc(b.errors, func(text string) bool { return strings.Contains(text, "422") })
			if len(errors) > 0 {
				t.Errorf("%s, %d px: errors in the console: %q", scheme, width, errors)
			}
			b.mutex.Unlock()
		}
	}
}

// TestPlaygroundKeyboard verifies that Tab leaves the text area, and that the result is in view after Enter.
func TestPlaygroundKeyboard(t *testing.T) {
	t.Parallel()
	url := start(t)
	b := open(t, "light", 1280)
	b.do(t, chromedp.Navigate(url+"/playground"), chromedp.WaitVisible(chromedp.ID("manifests")))
	for i, want := range []string{"A Skip to content", "A Status", "TEXTAREA manifests", "BUTTON Inject"} {
		b.do(t, chromedp.KeyEvent(kb.Tab))
		got := evaluate[string](t, b, `document.activeElement.tagName + " " +
			(document.activeElement.id || document.activeElement.textContent)`)
		outline := evaluate[string](t, b, `getComputedStyle(document.activeElement).outlineStyle`)
		if got != want || outline == "none" {
			t.Errorf("Tab %d moves to %q with the outline %s, want %q", i+1, got, outline, want)
		}
	}
	b.do(t, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(chromedp.ID("result")))
	top := evaluate[float64](t, b, `document.querySelector("#result").getBoundingClientRect().top`)
	if top < 0 || top > 600 {
		t.Errorf("the result is at %.0f px", top)
	}
	b.do(t, chromedp.KeyEvent(kb.Tab))
	if got := evaluate[string](t, b, `document.activeElement.getAttribute("aria-label")`); got != "Diff" {
		t.Errorf("Tab moves from the result to %q", got)
	}
}

// TestPlaygroundRejectsOtherSites verifies that another site cannot send manifests from a browser.
func TestPlaygroundRejectsOtherSites(t *testing.T) {
	t.Parallel()
	url := start(t)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><form method="post" action="%s/playground"><button>Send</button></form>`, url)
	}))
	t.Cleanup(site.Close)
	b := open(t, "light", 1280)
	b.do(t, chromedp.Navigate(site.URL), chromedp.WaitVisible("button"), chromedp.Click(chromedp.CSS("button")),
		chromedp.WaitVisible("pre"))
	if got := evaluate[string](t, b, `document.body.textContent`); !strings.Contains(got, "cross-origin request") {
		t.Errorf("the response is %s", got)
	}
}
