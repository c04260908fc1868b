package server_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	admissionv1 "k8s.io/api/admission/v1"

	"k8s-sidecar-injector/server"
)

// FuzzReview sends any bytes. The response is 400 with a line of text, or a valid AdmissionReview with the uid
// of the review and a patch that applies to its object.
func FuzzReview(f *testing.F) {
	files, err := filepath.Glob("testdata/reviews/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no reviews: %v", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, pod := range []string{
		"null", `{"spec":null}`, `{"metadata":{"annotations":null}}`, podRequesting("logger:v1", "app"),
		podRequesting("clash:v1", "app"), podRequesting("a b", "app"),
		`{"metadata":{"annotations":{"injector.tumblr.com/request":"logger:v1"}}}`,
		`{"metadata":{"annotations":{"injector.tumblr.com/request":"logger:v1"}},"spec":{"volumes":null,` +
			`"containers":[null,{"name":"a","env":null,"volumeMounts":[null]}]}}`,
	} {
		f.Add([]byte(podReview(pod)))
		f.Add([]byte(strings.Replace(podReview(pod), "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1)))
	}
	snapshots := load(f, sidecars)
	metrics, err := server.NewMetrics(prometheus.NewRegistry(), snapshots)
	if err != nil {
		f.Fatal(err)
	}
	webhook := server.NewWebhook(server.NewLanes(), snapshots, nil, policy(), nil, metrics, zerolog.Nop())
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		webhook.ServeHTTP(w, newRequest(t, bytes.NewReader(body)))
		switch w.Code {
		case http.StatusBadRequest:
			if text := w.Body.String(); !strings.HasSuffix(text, "\n") || len(text) > 1025 ||
				w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("unexpected refusal %q %v", text, w.Header())
			}
		case http.StatusOK:
			checkAnswer(t, body, decodeResponse(t, w.Body.Bytes()))
		default:
			t.Errorf("unexpected code %d", w.Code)
		}
	})
}

// checkAnswer compares a response with its review, decoded by encoding/json.
func checkAnswer(t *testing.T, body []byte, a *admissionv1.AdmissionReview) {
	t.Helper()
	r := a.Response
	if r.UID == "" || r.Allowed == (r.Result != nil) || (r.Patch != nil) != (r.PatchType != nil) ||
		r.Patch != nil && !r.Allowed {
		t.Errorf("the answer contradicts itself: %v", a)
	}
	var question struct {
		Request struct {
			UID    string          `json:"uid"`
			Object json.RawMessage `json:"object"`
		} `json:"request"`
	}
	if err := json.Unmarshal(body, &question); err != nil {
		if r.Allowed {
			t.Errorf("an invalid review is allowed: %v", err)
		}
		return
	}
	if r.Allowed && string(r.UID) != question.Request.UID {
		t.Errorf("want uid %q, got %q", question.Request.UID, r.UID)
	}
	if r.Patch == nil {
		return
	}
	patch, err := jsonpatch.DecodePatch(r.Patch)
	if err != nil {
		t.Fatalf("%v: %s", err, r.Patch)
	}
	if _, err := patch.Apply(question.Request.Object); err != nil {
		t.Errorf("%v: %s", err, r.Patch)
	}
}
