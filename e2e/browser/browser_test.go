package browser_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// deadline limits each test.
const deadline = 2 * time.Minute

// definitions are the files of the config directory, with text that would be markup if it was not escaped.
func definitions() map[string]string {
	return map[string]string{
		"logger.yaml": "name: logger:v1\nparameters: {level: {enum: [info, debug], default: info}}\n" +
			"containers: [{name: logger, image: 'logger:1', args: ['${level}', '<img src=x onerror=alert(1)>']}]\n",
		"heir.yaml":                          "name: heir\ninherits: logger:v1\n",
		"bad.yaml":                           "name: bad\nhostPID: 1\n",
		"<script>bad.yaml":                   "name: <b>\n",
		strings.Repeat("long", 40) + ".yaml": "name: " + strings.Repeat("long-name-", 6) + "x\n",
	}
}

// start runs the injector and returns the URL of its lifecycle port.
func start(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range definitions() {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := exec.CommandContext(t.Context(), "../.bin/k8s-sidecar-injector", "--dev", "--log-format=json",
		"--config-directory", directory, "--tls-port=0", "--lifecycle-port=0")
	stderr, err := program.StderrPipe()
	if err == nil {
		err = program.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Wait() })
	lines := bufio.NewScanner(stderr)
	lifecycle := ""
	published := false
	for (lifecycle == "" || !published) && lines.Scan() {
		var event struct{ Message, Lifecycle string }
		_ = json.Unmarshal(lines.Bytes(), &event) // the hint of --dev is not JSON
		if event.Message == "serving" {
			lifecycle = event.Lifecycle
		}
		published = published || event.Message == "snapshot published"
	}
	go func() {
		for lines.Scan() {
		}
	}()
	_, port, err := net.SplitHostPort(lifecycle)
	if err != nil {
		t.Fatal("the injector did not start:", err)
	}
	return "http://127.0.0.1:" + port
}

// tab is a page of the browser. It collects all that the console of a developer shows.
type tab struct {
	context.Context //nolint:containedctx // chromedp identifies a tab by its context
	mutex           sync.Mutex
	errors          []string
}

func open(t *testing.T, scheme string, width int64) *tab {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox) // CI is root
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &tab{Context: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil { // starts the browser
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Context, cancel = context.WithTimeout(ctx, deadline)
	t.Cleanup(cancel)
	b.do(t, chromedp.EmulateViewport(width, 900))
	return b
}

// listen collects errors.
func (b *tab) listen(event any) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	switch event := event.(type) {
	case *log.EventEntryAdded:
		b.errors = append(b.errors, event.Entry.Text)
	case *runtime.EventConsoleAPICalled:
		b.errors = append(b.errors, fmt.Sprint(event.Type))
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, event.ExceptionDetails.Text)
	}
}

func (b *tab) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.Context, steps...); err != nil {
		t.Fatal(err)
	}
}

// evaluate returns the value of an expression.
func evaluate[T any](t *testing.T, b *tab, expression string) T {
	t.Helper()
	value, err := chromedp.Run(b.Context, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// overflow returns the elements that are wider than the window, except the contents of boxes that scroll.
const overflow = `[...document.querySelectorAll("body *")].filter(e => !e.closest("pre") && !e.matches(".skip") &&
  e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && e.offsetParent)
  .map(e => e.tagName + " " + e.className + " " + e.textContent.slice(0, 40)).concat(
  document.documentElement.scrollWidth > innerWidth ? ["the page scrolls"] : [])`

// faint returns the texts whose contrast is less than 4.5 (WCAG 2.2, success criterion 1.4.3).
const faint = `(() => {
  const parts = color => color.match(/[\d.]+/g).map(Number);
  const luminance = color => parts(color).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const background = e => { for (; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor; if (parts(color)[3] !== 0) return color; }
    return "rgb(255, 255, 255)"; };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim()) continue;
    const [a, b] = [luminance(getComputedStyle(e).color), luminance(background(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) faint.push(contrast.toFixed(2) + " " + texts.currentNode.data.trim().slice(0, 40));
  }
  return faint;
})()`

func TestPages(t *testing.T) {
	t.Parallel()
	url := start(t)
	backgrounds := make(map[string]bool)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{375, 1280} {
			b := open(t, scheme, width)
			for _, path := range []string{"/", "/sidecars/logger:v1", "/sidecars/heir", "/sidecars/missing"} {
				b.do(t, chromedp.Navigate(url+path), chromedp.WaitVisible("h1"))
				wide, faintTexts := evaluate[[]string](t, b, overflow), evaluate[[]string](t, b, faint)
				background := evaluate[string](t, b, `getComputedStyle(document.body).backgroundColor`)
				backgrounds[background] = true
				if len(wide)+len(faintTexts) > 0 {
					t.Errorf("%s, %s, %d px: too wide: %q; contrast: %q", path, scheme, width, wide, faintTexts)
				}
			}
			b.mutex.Lock()
			// The browser reports the response 404 of /sidecars/missing.
			errors := slices.DeleteFunc(b.errors, func(text string) bool { return strings.Contains(text, "404") })
			if len(errors) > 0 {
				t.Errorf("%s, %d px: errors in the console: %q", scheme, width, errors)
			}
			b.mutex.Unlock()
		}
	}
	if len(backgrounds) != 2 {
		t.Errorf("light and dark have the backgrounds %v", backgrounds)
	}
}

// TestKeyboard verifies that Tab reaches everything in reading order, that the focus is visible, and that Enter follows
// links.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	url := start(t)
	b := open(t, "light", 1280)
	b.do(t, chromedp.Navigate(url+"/?refresh=off"), chromedp.WaitVisible("h1"))
	for i, want := range []string{
		"Skip to content", "Resume", "Playground", "heir:latest", "logger:v1", strings.Repeat("long-name-", 6) + "x:latest",
		"status", "sidecars",
	} {
		b.do(t, chromedp.KeyEvent(kb.Tab))
		got := evaluate[string](t, b, `document.activeElement.textContent`)
		outline := evaluate[string](t, b, `getComputedStyle(document.activeElement).outlineStyle`)
		if got != want || outline == "none" {
			t.Errorf("Tab %d moves to %q with the outline %s, want %q", i+1, got, outline, want)
		}
	}
	b.do(t, chromedp.Navigate(url+"/?refresh=off"), chromedp.WaitVisible("h1"), chromedp.KeyEvent(kb.Tab),
		chromedp.KeyEvent(kb.Enter))
	focused := evaluate[string](t, b, `document.activeElement.id`)
	b.do(t, chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("pre"))
	heading := evaluate[string](t, b, `document.querySelector("h1").textContent`)
	if focused != "main" || heading != "heir:latest" {
		t.Errorf("the skip link leads to %q, and the next link to %q", focused, heading)
	}
}
