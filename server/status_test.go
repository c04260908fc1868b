package server_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/server"
	"k8s-sidecar-injector/store"
)

// update rewrites the golden files instead of comparing: go test ./server -run Status -update
var update = flag.Bool("update", false, "write the golden files")

// compareGolden compares with a file of testdata, or writes it.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// markup would end an element and begin another one if it was not escaped.
const markup = `"'></td><script>alert(1)</script><b x=`

// described are definitions with all that the page shows, and text that is markup.
const described = `
name: proxy
parameters:
  token: {default: t0ken-of-a-parameter}
  other: {enum: [t0ken-of-an-enum, b]}
  port: {type: int, default: 8080, min: 1024}
  path: {pattern: '/.*', from: pod.labels.path}
annotations: {markup: "` + `\"'></td><script>alert(1)</script><b x=` + `"}
containers:
- name: proxy
  image: "registry.example/proxy:${port}"
  args: ["${path}"]
  env:
  - {name: TOKEN, value: "x${token}"}
  - {name: OTHER, value: "${other}"}
  - {name: FIELD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  readinessProbe: {httpGet: {port: 1, httpHeaders: [{name: Authorization, value: s3cr3t-of-a-header}]}}
extendEnv: [{name: OPTIONS, value: s3cr3t-of-an-option}]
prependEnv: [{name: FIRST, value: s3cr3t-of-the-first}]
---
name: gone
---
name: heir
inherits: proxy
env: [{name: LOG_DIR, value: s3cr3t-of-the-env}]
`

// statusFixture is a status page over sidecars that were changed and rejected.
type statusFixture struct {
	*injector
	http.Handler
	sources []server.Source
	pending []string
	leaf    *x509.Certificate
}

func newStatusFixture(t *testing.T) *statusFixture {
	t.Helper()
	f := &statusFixture{
		injector: newInjectorOf(t, nil, policy(), "name: first\n", 0),
		sources: []server.Source{
			{Name: "directory conf", Kind: "directory", State: server.SourceReady},
			{Name: "configmaps team", Kind: "configmaps", State: server.SourceFailing, Error: "forbidden " + markup},
		},
		pending: []string{"the certificate has expired " + markup},
		leaf: &x509.Certificate{
			Subject: pkix.Name{CommonName: markup}, DNSNames: []string{"injector.team.svc"},
			IPAddresses: []net.IP{{127, 0, 0, 1}},
		},
	}
	f.Handler = server.NewStatusHandler(server.StatusOptions{
		Version: "v1.2.3", Snapshots: f.snapshots,
		Sources:     func() []server.Source { return f.sources },
		Certificate: func() (*x509.Certificate, time.Time) { return f.leaf, time.Now().Add(24 * time.Hour) },
	}, f.metrics, func() []string { return f.pending })
	return f
}

// publish publishes the documents of a file whose name is markup.
func (f *statusFixture) publish(content string, previous *conf.Set) *conf.Set {
	set := conf.Load(conf.Split(conf.Origin{Root: "conf", Name: markup + ".yaml"}, []byte(content)), previous)
	f.snapshots.Publish(set)
	return set
}

// publishAll publishes all that the page shows.
func (f *statusFixture) publishAll(t *testing.T) {
	t.Helper()
	set := f.publish(described, nil)
	time.Sleep(time.Minute) // on the fake clock
	set = f.publish(strings.Replace(described, "name: gone", "name: added", 1), set)
	time.Sleep(time.Minute)
	f.publish(strings.Replace(described, "inherits: proxy", "inherits: proxy\nhostPID: 1", 1), set)
	for _, request := range []string{"gone", "gone", "missing", "heir"} {
		review(t, f.Webhook, podReview(podRequesting(request, "app")))
	}
}

func (f *statusFixture) get(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestStatusAPI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newStatusFixture(t)
		f.publishAll(t)
		compareGolden(t, "status.json", f.get("/api/v1/status").Body.String())
		body := f.get("/api/v1/sidecars").Body
		compareGolden(t, "sidecars.json", body.String())
		var listing conf.Listing
		err := json.Unmarshal(body.Bytes(), &listing)
		if err != nil || len(listing.Items) != 3 || len(listing.Rejections) != 1 {
			t.Errorf("%v: %v", err, listing)
		}
	})
}

// TestStatusBeforeStart verifies that no list is null before the first publication.
func TestStatusBeforeStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newStatusFixture(t)
		*f.snapshots = store.Store{}
		f.leaf, f.pending, f.sources = nil, nil, nil
		compareGolden(t, "status_empty.json", f.get("/api/v1/status").Body.String())
		if got, want := f.get("/api/v1/sidecars").Body.String(), `{"items":[],"rejections":[]}`+"\n"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestStatusHidesValues verifies that no value of a variable or header is on a page, nor the values of parameters that
// variables have.
func TestStatusHidesValues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newStatusFixture(t)
		f.publishAll(t)
		for _, path := range statusPaths() {
			body := f.get(path).Body.String()
			for _, secret := range []string{"s3cr3t", "t0ken"} {
				if strings.Contains(body, secret) {
					t.Errorf("%s has %s: %s", path, secret, body)
				}
			}
		}
	})
}

func TestStatusHeaders(t *testing.T) {
	t.Parallel()
	f := newStatusFixture(t)
	for _, path := range statusPaths() {
		header := f.get(path).Header()
		policy := strings.Split(header.Get("Content-Security-Policy"), "; ")
		if !slices.Contains(policy, "default-src 'none'") || !slices.Contains(policy, "frame-ancestors 'none'") ||
			strings.Contains(fmt.Sprint(policy), "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", path, policy)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		} {
			if got := header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

// TestStatusOfManyRejections verifies that a status has a limited number of rejections, and the listing has all.
func TestStatusOfManyRejections(t *testing.T) {
	t.Parallel()
	f := newStatusFixture(t)
	f.publish(strings.Repeat("---\nname: a\nhostPID: 1\n", 150), nil)
	var got struct {
		Rejected   int
		Rejections []conf.ListedRejection
	}
	for path, want := range map[string]int{"/api/v1/status": 100, "/api/v1/sidecars": 150} {
		if err := json.Unmarshal(f.get(path).Body.Bytes(), &got); err != nil || len(got.Rejections) != want {
			t.Errorf("%s: %v: %d rejections, want %d", path, err, len(got.Rejections), want)
		}
	}
	if got.Rejected != 150 {
		t.Errorf("%d rejected, want 150", got.Rejected)
	}
}

// TestStatusPort verifies that the lifecycle port serves the page and the readiness of the server, unless the page is
// disabled.
func TestStatusPort(t *testing.T) {
	t.Parallel()
	for _, enabled := range []bool{true, false} {
		l := start(t, func(o *server.Options) {
			if enabled {
				o.Status = &server.StatusOptions{
					Snapshots:   load(t, sidecars),
					Sources:     func() []server.Source { return nil },
					Certificate: func() (*x509.Certificate, time.Time) { return nil, time.Time{} },
				}
			}
		}, nil)
		l.waiting.Store(&[]string{"a reason"})
		for _, path := range statusPaths() {
			path = strings.Replace(path, "Heir", "heir:latest", 1)
			path = strings.Replace(path, "heir:latest", "logger:v1", 1)
			response, body := mustFetch(t, http.DefaultClient, http.MethodGet, l.lifecycle+path, "")
			if (response.StatusCode == http.StatusOK) != enabled || !enabled && response.StatusCode != http.StatusNotFound {
				t.Errorf("enabled: %t: %s: got %d", enabled, path, response.StatusCode)
			}
			if enabled && path == "/api/v1/status" && !strings.Contains(body, `"a reason"`) {
				t.Errorf("the status lacks the reason for not being ready: %s", body)
			}
		}
	}
}

// statusPaths are all paths of the page and its API.
func statusPaths() []string {
	return append(pagePaths(), "/api/v1/status", "/api/v1/sidecars", "/status.css")
}

// pagePaths are the paths of all pages.
func pagePaths() []string {
	return []string{"/", "/?refresh=off", "/sidecars/heir:latest", "/sidecars/Heir"}
}
