package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"k8s-sidecar-injector/mutate"
)

const maxBody = 7 << 20

// padded is a review of a pod that asks for nothing, of exactly so many bytes.
func padded(size int) string {
	review := create(`{"metadata":{"labels":{"pad":""}}}`)
	return strings.Replace(review, `"pad":"`, `"pad":"`+strings.Repeat("x", size-len(review)), 1)
}

// plain is the header of a refusal.
func plain() http.Header {
	return http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}}
}

// unsized hides the length of a body, so that it is sent in chunks.
type unsized struct{ io.Reader }

// What is no review is refused before anything is decided, with a line of text.
func TestRefused(t *testing.T) {
	t.Parallel()
	const (
		notReview = "the body is not an AdmissionReview of a pod: "
		tooLarge  = "the body is larger than 7340032 bytes\n"
	)
	jsonType := []string{"application/json"}
	for _, c := range []struct {
		name   string
		header http.Header
		query  string
		body   io.Reader
		code   int
		text   string
	}{
		{name: "no content type", body: strings.NewReader("{}"), code: 415, text: "want Content-Type application/json, got \"\"\n"},
		{name: "wrong content type", header: http.Header{"Content-Type": {"text/plain"}}, code: 415, text: "want Content-Type application/json, got \"text/plain\"\n"},
		{name: "broken content type", header: http.Header{"Content-Type": {"application/json; ="}}, code: 415, text: "want Content-Type application/json, got \"application/json; =\"\n"},
		{name: "long content type", header: http.Header{"Content-Type": {strings.Repeat("x", 60<<10)}}, code: 415, text: "want Content-Type application/json, got \"" + strings.Repeat("x", 980) + "...\n"},
		{name: "gzip", header: http.Header{"Content-Type": jsonType, "Content-Encoding": {"gzip"}}, code: 415, text: "want no Content-Encoding, got \"gzip\"\n"},
		{name: "too large", header: http.Header{"Content-Type": jsonType}, body: strings.NewReader(padded(maxBody + 1)), code: 413, text: tooLarge},
		{name: "too large, no length", header: http.Header{"Content-Type": jsonType}, body: unsized{strings.NewReader(padded(maxBody + 1))}, code: 413, text: tooLarge},
		{name: "broken off", header: http.Header{"Content-Type": jsonType}, body: io.MultiReader(strings.NewReader("{"), broken{}), code: 400, text: "the body could not be read: unexpected EOF\n"},
		{name: "empty", header: http.Header{"Content-Type": jsonType}, body: http.NoBody, code: 400, text: notReview + "unexpected EOF\n"},
		{name: "white space", header: http.Header{"Content-Type": jsonType}, body: strings.NewReader(" \n"), code: 400, text: notReview + "unexpected EOF after offset 2\n"},
		{name: "no JSON", header: http.Header{"Content-Type": jsonType}, body: strings.NewReader("kind: Pod"), code: 400, text: notReview + "invalid character 'k' at start of value\n"},
		{name: "null", header: http.Header{"Content-Type": jsonType}, body: strings.NewReader("null"), code: 400, text: "want kind AdmissionReview, got \"\"\n"},
		{name: "list", header: http.Header{"Content-Type": jsonType}, body: strings.NewReader("[]"), code: 400, text: notReview + "unexpected array\n"},
		{name: "deep", header: http.Header{"Content-Type": jsonType}, body: strings.NewReader(`{"a":` + strings.Repeat("[", 1<<20)), code: 400, text: notReview + "exceeded max depth within \"/a/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/…/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0\" after offset 10004\n"},
		{name: "cut before the uid", header: http.Header{"Content-Type": jsonType}, body: strings.NewReader(`{"kind":"AdmissionReview","request":{"object":{`), code: 400, text: notReview + "unexpected EOF within \"/request/object\" after offset 47\n"},
		{name: "no request", header: http.Header{"Content-Type": jsonType}, body: strings.NewReader(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`), code: 400, text: "the AdmissionReview has no request\n"},
		{name: "empty uid", header: http.Header{"Content-Type": jsonType}, body: strings.NewReader(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":""}}`), code: 400, text: "the request has no uid\n"},
		{name: "uid is a number", header: http.Header{"Content-Type": jsonType}, body: strings.NewReader(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":5}}`), code: 400, text: notReview + "\"/request/uid\": unexpected number\n"},
		{name: "timeout is no duration", query: "?timeout=soon", header: http.Header{"Content-Type": jsonType}, code: 400, text: "timeout: want a duration such as 5s, got \"soon\"\n"},
		{name: "timeout without unit", query: "?timeout=5", header: http.Header{"Content-Type": jsonType}, code: 400, text: "timeout: want a duration such as 5s, got \"5\"\n"},
		{name: "timeout is negative", query: "?timeout=-5s", header: http.Header{"Content-Type": jsonType}, code: 400, text: "timeout: want a duration such as 5s, got \"-5s\"\n"},
		{name: "timeout is zero", query: "?timeout=0s", header: http.Header{"Content-Type": jsonType}, code: 400, text: "timeout: want a duration such as 5s, got \"0s\"\n"},
		{name: "nobody waits any more", query: "?timeout=1ns", header: http.Header{"Content-Type": jsonType}, body: strings.NewReader(create(asking("logger:v1", "app"))), code: 503, text: "the time that the client waits is over\n"},
		{name: "query is malformed", query: "?timeout=%zz", header: http.Header{"Content-Type": jsonType}, code: 400, text: "the query of the URL is malformed: invalid URL escape \"%zz\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := newInjector(t, policy())
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mutate"+c.query, c.body)
			r.Header = c.header
			w := httptest.NewRecorder()
			i.ServeHTTP(w, r)
			if got := w.Body.String(); w.Code != c.code || got != c.text {
				t.Errorf("want %d %s\ngot %d %s", c.code, c.text, w.Code, got)
			}
			if diff := cmp.Diff(plain(), w.Header()); diff != "" {
				t.Errorf("header:\n%s", diff)
			}
			checkRefusalLogged(t, i, c.code, c.text)
		})
	}
}

// broken is the body of a client that went away.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// checkRefusalLogged looks for the one line and the count that a refusal leaves.
func checkRefusalLogged(t *testing.T, i *injector, code int, text string) {
	t.Helper()
	want := []map[string]any{{
		"level": "warn", "error": strings.TrimSuffix(text, "\n"), "code": float64(code), "path": "/mutate", "remote": "192.0.2.1:1234",
		"reason": "bad_review", "message": "request refused: is this an API server?",
	}}
	if diff := cmp.Diff(want, i.log.events(t)); diff != "" {
		t.Errorf("log:\n%s", diff)
	}
	err := testutil.GatherAndCompare(i.registry, strings.NewReader(counts(map[mutate.Verdict]int{
		{Outcome: mutate.Denied, Reason: mutate.ReasonBadReview}: 1,
	})), "sidecar_injector_reviews_total")
	if err != nil {
		t.Error(err)
	}
}

// A review whose uid could be read is denied in its own terms, so that the user is told why.
func TestRejected(t *testing.T) {
	t.Parallel()
	const notReview = "the body is not an AdmissionReview of a pod: "
	whole := create("{}")
	for _, c := range []struct{ name, body, version, message string }{
		{"cut in the object", create(`{"spec":{"containers":[`)[:200], "v1", notReview + `unexpected EOF within "/request/object/spec" after offset 200`},
		{"cut at the end", whole[:len(whole)-1], "v1", notReview + `unexpected EOF after offset 192`},
		{"trailing garbage", whole + "{}", "v1", notReview + `invalid character '{' after top-level value after offset 193`},
		{"duplicate key", create(`{"metadata":{"name":"a","name":"b"}}`), "v1", notReview + `duplicate object member name "name" within "/request/object/metadata"`},
		{"duplicate uid", create(`{},"uid":"u2"`), "v1", notReview + `duplicate object member name "uid" within "/request"`},
		{"long duplicate key", create(`{"` + strings.Repeat("k", 2000) + `":1,"` + strings.Repeat("k", 2000) + `":2}`), "v1", notReview + `duplicate object member name "` + strings.Repeat("k", 946) + `...`},
		{"invalid UTF-8", create("{\"metadata\":{\"name\":\"\xff\"}}"), "v1", notReview + `invalid UTF-8 within "/request/object/metadata/name" after offset 210`},
		{"wrong kind", strings.Replace(whole, "AdmissionReview", "Pod", 1), "v1", `want kind AdmissionReview, got "Pod"`},
		{"unknown version", strings.Replace(whole, "admission.k8s.io/v1", "admission.k8s.io/v2", 1), "v1", `want apiVersion admission.k8s.io/v1 or admission.k8s.io/v1beta1, got "admission.k8s.io/v2"`},
		{"beta", strings.Replace(create(`{"spec":7}`), "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1), "v1beta1", notReview + `"/request/object/spec": unexpected number`},
		{"text for a spec", create(`{"spec":"text"}`), "v1", notReview + `"/request/object/spec": unexpected string`},
		{"list for a pod", create(`[]`), "v1", notReview + `"/request/object": unexpected array`},
		{"object for a list", create(`{"spec":{"containers":{"a":1}}}`), "v1", notReview + `"/request/object/spec/containers": unexpected object`},
		{"boolean for a name", create(`{"spec":{"containers":[{"name":true}]}}`), "v1", notReview + `"/request/object/spec/containers/0/name": unexpected boolean`},
		{"number for an annotation", create(`{"metadata":{"annotations":{"a":5}}}`), "v1", notReview + `"/request/object/metadata/annotations/a": unexpected number`},
		{"port out of range", create(`{"spec":{"containers":[{"ports":[{"containerPort":99999999999}]}]}}`), "v1", notReview + `"/request/object/spec/containers/0/ports/0/containerPort": value out of range`},
		{"a secret in the wrong place", create(`{"spec":{"containers":[{"env":"TOKEN=s3cr3t"}]}}`), "v1", notReview + `"/request/object/spec/containers/0/env": unexpected string`},
		{"deep", create(`{"status":` + strings.Repeat("[", 10000)), "v1", notReview + `exceeded max depth within "/request/object/status/0/0/0/0/0/0/0/0/0/0/0/0/0/…/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0" after offset 10196`},
		{
			"uid behind the object",
			`{"apiVersion":"admission.k8s.io/v1","request":{"object":{"spec":7},"operation":"CREATE","resource":{"group":"","version":"v1","resource":"pods"},"uid":"u1"},"kind":"AdmissionReview"}`,
			"v1", notReview + `"/request/object/spec": unexpected number`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := newInjector(t, policy())
			w := review(t, i, c.body)
			want := fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/%s","response":{"uid":"u1","allowed":false,`+
				`"status":{"status":"Failure","message":%q,"reason":"BadRequest","code":400},`+
				`"auditAnnotations":{"outcome":"denied","reason":"bad_review","generation":"1"}}}`, c.version, c.message)
			if got := w.Body.String(); w.Code != http.StatusOK || got != want {
				t.Errorf("code %d\n%s", w.Code, cmp.Diff(want, got))
			}
			answered(t, w.Body.Bytes())
			events := i.log.events(t)
			if len(events) != 1 || events[0]["uid"] != "u1" || events[0]["outcome"] != "denied" || events[0]["detail"] != c.message {
				t.Errorf("unexpected log %v", events)
			}
		})
	}
}

// The largest body is served, however its length is told, and so is what is merely unusual.
func TestAccepted(t *testing.T) {
	t.Parallel()
	want := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"u1","allowed":true,` +
		`"auditAnnotations":{"outcome":"skipped","reason":"no_annotation","generation":"1"}}}`
	for _, c := range []struct {
		name, query string
		header      http.Header
		body        io.Reader
	}{
		{name: "largest", header: http.Header{"Content-Type": {"application/json"}}, body: strings.NewReader(padded(maxBody))},
		{name: "largest, no length", header: http.Header{"Content-Type": {"application/json"}}, body: unsized{strings.NewReader(padded(maxBody))}},
		{name: "charset", header: http.Header{"Content-Type": {"Application/JSON; charset=utf-8"}}, body: strings.NewReader(create("{}"))},
		{name: "identity", header: http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"identity"}}, body: strings.NewReader(create("{}"))},
		{name: "other query", query: "?a=b", header: http.Header{"Content-Type": {"application/json"}}, body: strings.NewReader(create("{}"))},
		{name: "empty timeout", query: "?timeout=", header: http.Header{"Content-Type": {"application/json"}}, body: strings.NewReader(create("{}"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mutate"+c.query, c.body)
			r.Header = c.header
			w := httptest.NewRecorder()
			newInjector(t, policy()).ServeHTTP(w, r)
			if got := w.Body.String(); w.Code != http.StatusOK || got != want {
				t.Errorf("want %s\ngot %d %.300s", want, w.Code, got)
			}
		})
	}
}

// A body that is announced as too large is not read at all.
func TestAnnouncedTooLarge(t *testing.T) {
	t.Parallel()
	body := bytes.NewReader(make([]byte, 10))
	r := ask(t, body)
	r.ContentLength = maxBody + 1
	w := httptest.NewRecorder()
	newInjector(t, policy()).ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge || body.Len() != 10 {
		t.Errorf("got %d with %d bytes left", w.Code, body.Len())
	}
}

// deadlines is a ResponseWriter that notes when the work must end.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

// A body may take as long as the API server waits, but never longer than readTimeout. The response
// then has writeTimeout.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]time.Duration{"?timeout=3s": 3 * time.Second, "?timeout=30s": 10 * time.Second, "?timeout=9h": 10 * time.Second} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mutate"+query, strings.NewReader(create("{}")))
			r.Header.Set("Content-Type", "application/json")
			w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			before := time.Now()
			newInjector(t, policy()).ServeHTTP(w, r)
			after := time.Now()
			if w.read.Before(before.Add(want)) || w.read.After(after.Add(want)) {
				t.Errorf("want the body within %s, got %s", want, w.read.Sub(before))
			}
			if w.write.Before(before.Add(5*time.Second)) || w.write.After(after.Add(5*time.Second)) {
				t.Errorf("want 5s for the response, got %s", w.write.Sub(before))
			}
		})
	}
}
