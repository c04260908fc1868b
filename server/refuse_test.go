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

	"k8s-sidecar-injector/mutate"
)

const maxBody = 7 << 20

// padded returns a review of this size. Its pod requests nothing.
func padded(size int) string {
	review := podReview(`{"metadata":{"labels":{"pad":""}}}`)
	return strings.Replace(review, `"pad":"`, `"pad":"`+strings.Repeat("x", size-len(review)), 1)
}

// plain returns the header of a refusal.
func plain() http.Header {
	return http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}}
}

// unsized hides the length of a body, so that it is sent in chunks.
type unsized struct{ io.Reader }

// A request that is not a review is refused with a line of text.
func TestRefused(t *testing.T) {
	t.Parallel()
	const (
		notReview  = "the body is not an AdmissionReview of a pod: "
		tooLarge   = "the body is larger than 7340032 bytes"
		wantJSON   = "want Content-Type application/json, got "
		wantPeriod = "timeout: want a duration such as 5s, got "
		admission  = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"`
	)
	jsonHeader := http.Header{"Content-Type": {"application/json"}}
	contentType := func(text string) http.Header { return http.Header{"Content-Type": {text}} }
	gzip := http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}
	long := strings.Repeat("x", 60<<10)
	large := padded(maxBody + 1)
	deep := `{"a":` + strings.Repeat("[", 1<<20)
	brokenBody := io.MultiReader(strings.NewReader("{"), broken{})
	text := func(text string) io.Reader { return strings.NewReader(text) }
	for _, c := range []struct {
		name   string
		header http.Header
		query  string
		body   io.Reader
		code   int
		cause  string
		text   string
	}{
		{"no content type", nil, "", text("{}"), 415, "media_type", wantJSON + `""`},
		{"wrong content type", contentType("text/plain"), "", nil, 415, "media_type", wantJSON + `"text/plain"`},
		{
			"broken content type", contentType("application/json; ="), "", nil, 415, "media_type",
			wantJSON + `"application/json; ="`,
		},
		{"long content type", contentType(long), "", nil, 415, "media_type", wantJSON + `"` + long[:980] + "..."},
		{"gzip", gzip, "", nil, 415, "media_type", `want no Content-Encoding, got "gzip"`},
		{"too large", jsonHeader, "", text(large), 413, "too_large", tooLarge},
		{"too large, no length", jsonHeader, "", unsized{text(large)}, 413, "too_large", tooLarge},
		{"incomplete", jsonHeader, "", brokenBody, 400, "body", "cannot read the body: unexpected EOF"},
		{"empty", jsonHeader, "", http.NoBody, 400, "not_a_review", notReview + "unexpected EOF"},
		{"white space", jsonHeader, "", text(" \n"), 400, "not_a_review", notReview + "unexpected EOF after offset 2"},
		{
			"no JSON", jsonHeader, "", text("kind: Pod"), 400, "not_a_review",
			notReview + "invalid character 'k' at start of value",
		},
		{"null", jsonHeader, "", text("null"), 400, "not_a_review", `want kind AdmissionReview, got ""`},
		{"list", jsonHeader, "", text("[]"), 400, "not_a_review", notReview + "unexpected array"},
		{
			"deep", jsonHeader, "", text(deep), 400, "not_a_review",
			notReview + `exceeded max depth within "/a` + strings.Repeat("/0", 23) + "/…" + strings.Repeat("/0", 25) +
				`" after offset 10004`,
		},
		{
			"cut before the uid", jsonHeader, "", text(`{"kind":"AdmissionReview","request":{"object":{`), 400,
			"not_a_review",
			notReview + `unexpected EOF within "/request/object" after offset 47`,
		},
		{
			"no request", jsonHeader, "", text(admission + `}`), 400, "not_a_review",
			"the AdmissionReview has no request with a uid",
		},
		{
			"empty uid", jsonHeader, "", text(admission + `,"request":{"uid":""}}`), 400, "not_a_review",
			"the AdmissionReview has no request with a uid",
		},
		{
			"uid is a number", jsonHeader, "", text(admission + `,"request":{"uid":5}}`), 400, "not_a_review",
			notReview + `"/request/uid": unexpected number`,
		},
		{"timeout is not a duration", jsonHeader, "?timeout=soon", nil, 400, "query", wantPeriod + `"soon"`},
		{"timeout without unit", jsonHeader, "?timeout=5", nil, 400, "query", wantPeriod + `"5"`},
		{"timeout is negative", jsonHeader, "?timeout=-5s", nil, 400, "query", wantPeriod + `"-5s"`},
		{"timeout is zero", jsonHeader, "?timeout=0s", nil, 400, "query", wantPeriod + `"0s"`},
		{"deadline exceeded", jsonHeader, "?timeout=1ns", text(podReview("{}")), 503, "deadline", "deadline exceeded"},
		{
			"malformed query", jsonHeader, "?timeout=%zz", nil, 400, "query",
			`malformed query: invalid URL escape "%zz"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := newInjector(t, policy())
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mutate"+c.query, c.body)
			r.Header = c.header
			w := httptest.NewRecorder()
			i.ServeHTTP(w, r)
			if got := w.Body.String(); w.Code != c.code || got != c.text+"\n" {
				t.Errorf("want %d %s\ngot %d %s", c.code, c.text, w.Code, got)
			}
			if diff := cmp.Diff(plain(), w.Header()); diff != "" {
				t.Errorf("header:\n%s", diff)
			}
			checkRefusalLogged(t, i, c.code, c.cause, c.text)
		})
	}
}

// broken is the body of a client that disconnects.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// checkRefusalLogged checks the log line and the metrics of a refusal.
func checkRefusalLogged(t *testing.T, i *injector, code int, cause, text string) {
	t.Helper()
	want := []map[string]any{{
		"level": "warn", "error": text, "code": float64(code), "cause": cause, "path": "/mutate",
		"remote": "192.0.2.1:1234", "reason": "bad_review", "message": "request refused: " + cause,
	}}
	if diff := cmp.Diff(want, i.log.events(t)); diff != "" {
		t.Errorf("log:\n%s", diff)
	}
	expectMetrics(t, i.registry, reviewCounts(map[mutate.Verdict]int{
		{Outcome: mutate.Denied, Reason: mutate.ReasonBadReview}: 1,
	}), "sidecar_injector_reviews_total")
	expectMetrics(t, i.registry, refusals(cause, 1), "sidecar_injector_requests_refused_total")
}

// refusals returns the text of the metric of refusals with this count of one cause.
func refusals(cause string, count int) string {
	text := "# HELP sidecar_injector_requests_refused_total Requests answered without an AdmissionReview, by cause.\n" +
		"# TYPE sidecar_injector_requests_refused_total counter\n"
	for _, c := range []string{
		"body", "deadline", "internal", "media_type", "not_a_review", "overload", "query", "too_large",
	} {
		value := 0
		if c == cause {
			value = count
		}
		text += fmt.Sprintf("sidecar_injector_requests_refused_total{cause=%q} %d\n", c, value)
	}
	return text
}

// An invalid review whose uid can be decoded is denied with a message for the user.
func TestRejected(t *testing.T) {
	t.Parallel()
	const notReview = "the body is not an AdmissionReview of a pod: "
	whole := podReview("{}")
	for _, c := range []struct{ name, body, version, message string }{
		{
			"cut in the object", podReview(`{"spec":{"containers":[`)[:200], "v1",
			notReview + `unexpected EOF within "/request/object/spec" after offset 200`,
		},
		{"cut at the end", whole[:len(whole)-1], "v1", notReview + `unexpected EOF after offset 192`},
		{
			"trailing garbage", whole + "{}", "v1",
			notReview + `invalid character '{' after top-level value after offset 193`,
		},
		{
			"duplicate key", podReview(`{"metadata":{"name":"a","name":"b"}}`), "v1",
			notReview + `duplicate object member name "name" within "/request/object/metadata"`,
		},
		{
			"duplicate uid", podReview(`{},"uid":"u2"`), "v1",
			notReview + `duplicate object member name "uid" within "/request"`,
		},
		{
			"duplicate label", podReview(`{"metadata":{"labels":{"a":"b","a":"b"}}}`), "v1",
			notReview + `duplicate object member name "a" within "/request/object/metadata/labels"`,
		},
		{
			"duplicate field that is ignored", podReview(`{"metadata":{"managedFields":[],"managedFields":[]}}`), "v1",
			notReview + `duplicate object member name "managedFields" within "/request/object/metadata"`,
		},
		{"long duplicate key", podReview(`{"` + strings.Repeat("k", 2000) + `":1,"` + strings.Repeat("k",
			2000) + `":2}`), "v1", notReview + `duplicate object member name "` + strings.Repeat("k",
			2000) + `" within "/request/object"`},
		{
			"invalid UTF-8", podReview("{\"metadata\":{\"name\":\"\xff\"}}"), "v1",
			notReview + `invalid UTF-8 within "/request/object/metadata/name" after offset 210`,
		},
		{
			"wrong kind", strings.Replace(whole, "AdmissionReview", "Pod", 1), "v1",
			`want kind AdmissionReview, got "Pod"`,
		},
		{
			"unknown version", strings.Replace(whole, "admission.k8s.io/v1", "admission.k8s.io/v2", 1), "v1",
			`want apiVersion admission.k8s.io/v1 or admission.k8s.io/v1beta1, got "admission.k8s.io/v2"`,
		},
		{
			"beta", strings.Replace(podReview(`{"spec":7}`), "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1),
			"v1beta1", notReview + `"/request/object/spec": unexpected number`,
		},
		{
			"text for a spec", podReview(`{"spec":"text"}`), "v1",
			notReview + `"/request/object/spec": unexpected string`,
		},
		{"list for a pod", podReview(`[]`), "v1", notReview + `"/request/object": unexpected array`},
		{
			"object for a list", podReview(`{"spec":{"containers":{"a":1}}}`), "v1",
			notReview + `"/request/object/spec/containers": unexpected object`,
		},
		{
			"boolean for a name", podReview(`{"spec":{"containers":[{"name":true}]}}`), "v1",
			notReview + `"/request/object/spec/containers/0/name": unexpected boolean`,
		},
		{
			"number for an annotation", podReview(`{"metadata":{"annotations":{"a":5}}}`), "v1",
			notReview + `"/request/object/metadata/annotations/a": unexpected number`,
		},
		{
			"port out of range", podReview(`{"spec":{"containers":[{"ports":[{"containerPort":99999999999}]}]}}`), "v1",
			notReview + `"/request/object/spec/containers/0/ports/0/containerPort": value out of range`,
		},
		{
			"a secret in the wrong place", podReview(`{"spec":{"containers":[{"env":"TOKEN=s3cr3t"}]}}`), "v1",
			notReview + `"/request/object/spec/containers/0/env": unexpected string`,
		},
		{
			"deep", podReview(`{"status":` + strings.Repeat("[", 10000)), "v1",
			notReview + `exceeded max depth within "/request/object/status` + strings.Repeat("/0", 13) + "/…" +
				strings.Repeat("/0", 25) + `" after offset 10196`,
		},
		{
			"uid behind the object",
			`{"apiVersion":"admission.k8s.io/v1","request":{"object":{"spec":7},"operation":"CREATE",` +
				`"resource":{"group":"","version":"v1","resource":"pods"},"uid":"u1"},"kind":"AdmissionReview"}`,
			"v1", notReview + `"/request/object/spec": unexpected number`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := newInjector(t, policy())
			w := review(t, i, c.body)
			message := clip("bad_review: "+c.message, 1024)
			want := fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/%s","response":{"uid":"u1",`+
				`"allowed":false,"status":{"status":"Failure","message":%q,"reason":"BadRequest","code":400},`+
				`"auditAnnotations":{"outcome":"denied","reason":"bad_review","generation":"1"}}}`,
				c.version, message)
			if got := w.Body.String(); w.Code != http.StatusOK || got != want {
				t.Errorf("code %d\n%s", w.Code, cmp.Diff(want, got))
			}
			decodeResponse(t, w.Body.Bytes())
			events := i.log.events(t)
			if len(events) != 1 || events[0]["uid"] != "u1" || events[0]["outcome"] != "denied" ||
				events[0]["detail"] != clip(c.message, 1024) {
				t.Errorf("unexpected log %v", events)
			}
		})
	}
}

// The largest body is accepted with and without a length, and so are unusual requests.
func TestAccepted(t *testing.T) {
	t.Parallel()
	want := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"u1","allowed":true,` +
		`"auditAnnotations":{"outcome":"skipped","reason":"no_annotation","generation":"1"}}}`
	for _, c := range []struct {
		name, query string
		header      http.Header
		body        io.Reader
	}{
		{
			name: "largest", header: http.Header{"Content-Type": {"application/json"}},
			body: strings.NewReader(padded(maxBody)),
		},
		{
			name: "largest, no length", header: http.Header{"Content-Type": {"application/json"}},
			body: unsized{strings.NewReader(padded(maxBody))},
		},
		{
			name: "charset", header: http.Header{"Content-Type": {"Application/JSON; charset=utf-8"}},
			body: strings.NewReader(podReview("{}")),
		},
		{name: "identity", header: http.Header{
			"Content-Type":     {"application/json"},
			"Content-Encoding": {"identity"},
		}, body: strings.NewReader(podReview("{}"))},
		{
			name: "other query", query: "?a=b", header: http.Header{"Content-Type": {"application/json"}},
			body: strings.NewReader(podReview("{}")),
		},
		{
			name: "empty timeout", query: "?timeout=", header: http.Header{"Content-Type": {"application/json"}},
			body: strings.NewReader(podReview("{}")),
		},
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

// A body whose Content-Length is too large is not read.
func TestAnnouncedTooLarge(t *testing.T) {
	t.Parallel()
	body := bytes.NewReader(make([]byte, 10))
	r := newRequest(t, body)
	r.ContentLength = maxBody + 1
	w := httptest.NewRecorder()
	newInjector(t, policy()).ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge || body.Len() != 10 {
		t.Errorf("got %d with %d bytes left", w.Code, body.Len())
	}
}

// deadlines is a ResponseWriter that records its deadlines.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

// The deadline of a body is the timeout of the API server, but at most readTimeout. The response has
// writeTimeout.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]time.Duration{
		"?timeout=3s":  3 * time.Second,
		"?timeout=30s": 10 * time.Second, "?timeout=9h": 10 * time.Second,
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mutate"+query,
				strings.NewReader(podReview("{}")))
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

// A pod over a limit is denied, and the log names the pod and its owner.
func TestPodOverLimit(t *testing.T) {
	t.Parallel()
	metadata := `{"metadata":{"generateName":"web-",` + controller + `},"spec":{%s}}`
	list := func(element string, count int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(element+",", count), ",") + "]"
	}
	var labels strings.Builder
	for n := range 10_001 {
		fmt.Fprintf(&labels, `,"%d":""`, n)
	}
	for name, c := range map[string]struct{ pod, fault string }{
		"containers": {
			fmt.Sprintf(metadata, `"containers":`+list("{}", 251)),
			`"/request/object/spec/containers": more than 250 containers`,
		},
		"init containers": {
			fmt.Sprintf(metadata, `"initContainers":`+list("{}", 251)),
			`"/request/object/spec/initContainers": more than 250 containers`,
		},
		"volumes": {
			fmt.Sprintf(metadata, `"volumes":`+list("{}", 1001)),
			`"/request/object/spec/volumes": more than 1000 volumes`,
		},
		"variables": {
			fmt.Sprintf(metadata, `"containers":[{"env":`+list("{}", 10_001)+`}]`),
			`"/request/object/spec/containers/0/env": more than 10000 elements`,
		},
		"labels": {
			strings.Replace(fmt.Sprintf(metadata, ""), `"web-",`, `"web-","labels":{`+labels.String()[1:]+`},`, 1),
			`"/request/object/metadata/labels": more than 10000 elements`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInjector(t, policy())
			got := decodeResponse(t, review(t, i, podReview(c.pod)).Body.Bytes()).Response
			message := "bad_review: the pod exceeds a limit: " + c.fault
			if got.Allowed || got.Result.Message != message || got.Warnings != nil {
				t.Errorf("got %+v, want %s", got, message)
			}
			event := i.log.events(t)[0]
			delete(event, "duration")
			delete(event, "duration_ms")
			if diff := cmp.Diff(map[string]any{
				"level": "warn", "message": "review", "uid": "u1", "namespace": "team", "name": "web-*",
				"owner": "ReplicaSet/web-1", "request": "", "requested_by": "", "outcome": "denied",
				"reason": "bad_review", "sidecars": []any{}, "generation": 1.0,
				"detail": strings.TrimPrefix(message, "bad_review: "),
			}, event); diff != "" {
				t.Error(diff)
			}
		})
	}
}
