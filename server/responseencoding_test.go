package server_test

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"k8s-sidecar-injector/server"
)

// Responses are encoded as json.Marshal encodes them.
func TestResponseEncoding(t *testing.T) {
	t.Parallel()
	var small, full, odd, repeated server.ResponseReview
	small.Response.Audit.Outcome, odd.Response.Audit.Outcome = "skipped", "denied"
	repeated.Response.Audit.Reinvocation = "completed"
	full.Kind, full.APIVersion = "AdmissionReview", "admission.k8s.io/v1"
	full.Response.UID, full.Response.Allowed = "0c972378-6211", true
	full.Response.Patch, full.Response.PatchType = []byte(`[{"op":"add","path":"/spec","value":{}}]`), "JSONPatch"
	full.Response.Audit.Outcome, full.Response.Audit.Reason = "injected", "namespace_default"
	full.Response.Audit.Sidecars, full.Response.Audit.Generation = "logger:v1@0123456789ab", "12"
	odd.Response.UID = "\"\\\n\u2028<&>é😀"
	odd.Response.Status = &server.Status{Status: "Failure", Message: "a \"b\"", Reason: "Forbidden", Code: 403}
	odd.Response.Warnings = []string{"", "a\tb", strings.Repeat("c", 3000)}
	for _, r := range []*server.ResponseReview{&small, &full, &odd, &repeated} {
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.AppendTo([]byte("x")); string(got) != "x"+string(want) || err != nil {
			t.Errorf("got %s, %v\nwant %s", got, err, want)
		}
	}
	for _, spoil := range []func(r *server.ResponseReview){
		func(r *server.ResponseReview) { r.Response.UID = "\xff" },
		func(r *server.ResponseReview) { r.Response.Warnings = []string{"\xff"} },
	} {
		r := full
		spoil(&r)
		if _, err := r.AppendTo(nil); err == nil {
			t.Error("invalid UTF-8 is encoded")
		}
	}
}
