package cli_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"k8s-sidecar-injector/cli"
)

// checkedObjects are what a cluster adds to the manifests.
const checkedObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a, namespace: sidecar-injector, labels: {kubernetes.io/service-name: sidecar-injector}}
endpoints: [{conditions: {ready: true}}, {conditions: {ready: true}}]
---
apiVersion: v1
kind: Pod
metadata: {name: one, namespace: sidecar-injector, labels: {app.kubernetes.io/name: sidecar-injector,
  app.kubernetes.io/instance: sidecar-injector}}
---
apiVersion: v1
kind: Pod
metadata: {name: two, namespace: sidecar-injector, labels: {app.kubernetes.io/name: sidecar-injector,
  app.kubernetes.io/instance: sidecar-injector}}
`

const goodMetrics = `# HELP sidecar_injector_snapshot_info
sidecar_injector_snapshot_info{digest="aaa"} 1
sidecar_injector_snapshot_stale_documents 0
`

// newCheckServer returns an API server with the manifests installed. Their certificate expires after the duration.
func newCheckServer(t *testing.T, lifetime time.Duration) *checkServer {
	t.Helper()
	manifests, err := os.ReadFile("../deploy/install.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := parseObjects(string(manifests) + "\n---" + checkedObjects)
	if err != nil {
		t.Fatal(err)
	}
	s := &checkServer{
		apiServer: apiServer{objects: objects}, version: "v1.33.1",
		metrics: map[string]string{"one:9000": goodMetrics, "two:9000": goodMetrics},
	}
	certificate := newCertificate(serviceName, lifetime)
	s.object("Deployment")["status"] = map[string]any{"readyReplicas": 2, "updatedReplicas": 2}
	s.certify(certificate, certificate)
	for _, object := range s.objects {
		if object.GetKind() == "Namespace" {
			object.SetLabels(map[string]string{"kubernetes.io/metadata.name": object.GetName()})
		}
	}
	return s
}

// certify sets the certificate, and the caBundle of all webhooks.
func (s *checkServer) certify(bundle, certificate string) {
	s.object("Secret")["data"] = map[string]any{"tls.crt": certificate}
	s.each("webhooks", func(webhook map[string]any) {
		webhook["clientConfig"].(map[string]any)["caBundle"] = bundle
	})
}

const serviceName = "sidecar-injector.sidecar-injector.svc"

// newCertificate returns a certificate that is its own CA, in PEM and base64.
func newCertificate(name string, lifetime time.Duration) string {
	return newAuthority().issue(name, -90*day, lifetime)
}

// authority is a key that issues certificates. It has a new one for each call.
type authority struct{ key *ecdsa.PrivateKey }

func newAuthority() *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &authority{key}
}

// issue returns a CA of the key, in PEM and base64. Its validity is relative to the beginning of the day.
func (a *authority) issue(name string, start, end time.Duration) string {
	today := time.Now().UTC().Truncate(day)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, DNSNames: []string{name},
		IsCA: true, BasicConstraintsValid: true, NotBefore: today.Add(start), NotAfter: today.Add(end),
	}
	return a.sign(template, &a.key.PublicKey)
}

// issueLeaf returns a certificate of another key, in PEM and base64.
func (a *authority) issueLeaf(start, end time.Duration) string {
	today := time.Now().UTC().Truncate(day)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{serviceName}, NotBefore: today.Add(start), NotAfter: today.Add(end),
	}
	return a.sign(template, &newAuthority().key.PublicKey)
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PublicKey) string {
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// object returns the first object of a kind.
func (s *checkServer) object(kind string) map[string]any {
	for _, object := range s.objects {
		if object.GetKind() == kind {
			return object.Object
		}
	}
	panic("no " + kind)
}

// set sets a field of the first object of a kind. The path is separated by dots.
func (s *checkServer) set(kind, path string, value any) {
	if err := unstructured.SetNestedField(s.object(kind), value, strings.Split(path, ".")...); err != nil {
		panic(err)
	}
}

// each calls f with each webhook.
func (s *checkServer) each(field string, f func(map[string]any)) {
	for _, object := range s.objects {
		webhooks, _ := object.Object[field].([]any)
		for _, webhook := range webhooks {
			f(webhook.(map[string]any))
		}
	}
}

// remove removes all objects of a kind.
func (s *checkServer) remove(kind string) {
	var rest []unstructured.Unstructured
	for _, object := range s.objects {
		if object.GetKind() != kind {
			rest = append(rest, object)
		}
	}
	s.objects = rest
}

// add adds objects.
func (s *checkServer) add(text string) {
	objects, err := parseObjects(text)
	if err != nil {
		panic(err)
	}
	s.objects = append(s.objects, objects...)
}

// flag adds an argument to the Deployment.
func (s *checkServer) flag(argument string) {
	spec := s.object("Deployment")["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	container := spec["containers"].([]any)[0].(map[string]any)
	container["args"] = append(container["args"].([]any), argument)
}

// checked is the JSON of the command.
type checked struct {
	Checks []checkResult
	OK     bool
}

type checkResult struct{ Category, Name, Status, Message, Hint, Docs string }

// runCheck runs the command, and returns its JSON, exit code and errors.
func runCheck(t *testing.T, s http.Handler, args ...string) (result checked, code int, stderr string) {
	t.Helper()
	server := httptest.NewServer(s)
	defer server.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: c, "+
		"contexts: [{name: c, context: {cluster: k, namespace: shop}}], clusters: [{name: k, cluster: {server: '%s'}}]}",
		server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	streams := cli.IOStreams{Out: &out, ErrOut: &errOut, Getenv: func(string) string { return "" }}
	args = append([]string{"k8s-sidecar-injector", "check", "-o", "json", "--kubeconfig", kubeconfig}, args...)
	code = cli.Run(args, streams)
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), errOut.String())
	}
	return result, code, errOut.String()
}

// checkProblems runs the command, and returns the checks that are not ok, one a line.
func checkProblems(t *testing.T, s http.Handler, args ...string) string {
	t.Helper()
	result, code, stderr := runCheck(t, s, args...)
	var problems strings.Builder
	failed := false
	for _, c := range result.Checks {
		failed = failed || c.Status == "failed"
		hasHint := c.Status == "warning" || c.Status == "failed"
		if hasHint != (c.Hint != "") || c.Category == "" || c.Message == "" {
			t.Errorf("%s has hint %q, category %q, message %q", c.Name, c.Hint, c.Category, c.Message)
		}
		if c.Status != "ok" {
			fmt.Fprintf(&problems, "%s: %s: %s\n", c.Status, c.Name, c.Message)
		}
	}
	if failed == result.OK || failed != (code == 1) || failed != (stderr != "") {
		t.Errorf("failed is %v, ok %v, the code %d, the error %q", failed, result.OK, code, stderr)
	}
	return problems.String()
}

const day = 24 * time.Hour

// checkCase is a cluster with a problem.
type checkCase struct {
	change   func(*checkServer)
	lifetime time.Duration // of the certificate; the default is long
	args     []string
	want     string // lines; prefixes
	hint     string // of one of the checks; empty for any
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, test := range checkCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.lifetime == 0 {
				test.lifetime = 60 * day
			}
			s := newCheckServer(t, test.lifetime)
			if test.change != nil {
				test.change(s)
			}
			date := regexp.MustCompile(`\d{4}-\d\d-\d\d`)
			got := date.ReplaceAllString(checkProblems(t, s, test.args...), "DATE")
			if got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
			result, _, _ := runCheck(t, s, test.args...)
			if !slices.ContainsFunc(result.Checks, func(c checkResult) bool { return test.hint == "" || c.Hint == test.hint }) {
				t.Errorf("no hint %q in %+v", test.hint, result.Checks)
			}
		})
	}
}

// TestCheckDocs verifies that each check has a section in the docs, in the order of the command, and no other.
func TestCheckDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	var sections []string
	for _, match := range regexp.MustCompile(`(?m)^### (.*)$`).FindAllStringSubmatch(string(page), -1) {
		sections = append(sections, match[1])
	}
	var names []string
	for _, args := range [][]string{nil, {"--pre"}, {"--trial"}} {
		result, _, _ := runCheck(t, newCheckServer(t, day), args...)
		for n, c := range result.Checks {
			if c.Docs != "docs/check.md#"+c.Name {
				t.Errorf("%s has docs %s", c.Name, c.Docs)
			}
			if !slices.Contains(args, "--pre") || n >= 3 {
				names = append(names, c.Name)
			}
		}
	}
	if got, want := strings.Join(sections, "\n"), strings.Join(names, "\n"); got != want {
		t.Errorf("the sections of docs/check.md are\n%s\nwant\n%s", got, want)
	}
}

// status returns a handler that fails with a status.
func status(code int32, reason metav1.StatusReason, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		fail(w, metav1.Status{Code: code, Reason: reason, Message: message})
	}
}
