package cli

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/yaml"
)

// sampleReview is what an API server sent when a Deployment made a pod.
//
//go:embed sample-review.json
var sampleReview []byte

// previewPath is served with --dev only. GET gives the sample review; POST takes a review,
// asks the webhook, and gives the pod as YAML, after the patch.
const previewPath = "/preview"

func addPreview(handlers map[string]http.Handler, webhook http.Handler) {
	handlers["GET "+previewPath] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(sampleReview)
	})
	handlers["POST "+previewPath] = preview(webhook)
}

func preview(webhook http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The webhook reads the body within its limits; what it read is kept.
		var question bytes.Buffer
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, &question), r.Body}
		answer := httptest.NewRecorder()
		webhook.ServeHTTP(answer, r)
		if answer.Code != http.StatusOK {
			http.Error(w, answer.Body.String(), answer.Code)
			return
		}
		pod, err := injectedPod(question.Bytes(), answer.Body.Bytes())
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(pod)
	})
}

// injectedPod does with the answer what the API server does, and gives the pod as YAML.
func injectedPod(question, answer []byte) ([]byte, error) {
	var asked, answered admissionv1.AdmissionReview
	if err := json.Unmarshal(question, &asked); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(answer, &answered); err != nil {
		return nil, err
	}
	response := answered.Response
	if !response.Allowed {
		return nil, fmt.Errorf("denied: %s", response.Result.Message)
	}
	pod, err := patched(asked.Request.Object.Raw, response.Patch)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "# %s, %s\n", response.AuditAnnotations["outcome"], response.AuditAnnotations["reason"])
	for _, warning := range response.Warnings {
		fmt.Fprintf(&text, "# warning: %s\n", warning)
	}
	body, err := yaml.JSONToYAML(pod)
	text.Write(body)
	return text.Bytes(), err
}

// patched applies the patch, if there is one, and leaves out managedFields, which only hide
// the pod from a reader, as kubectl does.
func patched(pod, patch []byte) ([]byte, error) {
	if patch != nil {
		var err error
		if pod, err = apply(pod, patch); err != nil {
			return nil, err
		}
	}
	hide := jsonpatch.NewApplyOptions()
	hide.AllowMissingPathOnRemove = true
	remove, err := jsonpatch.DecodePatch([]byte(`[{"op":"remove","path":"/metadata/managedFields"}]`))
	if err != nil {
		return nil, err
	}
	return remove.ApplyWithOptions(pod, hide)
}

// printHint tells somebody who tries things out what to do next.
func printHint(w io.Writer, sources []string, address string) {
	url := "https://" + address
	next := "Edit a definition and send it again."
	if slices.Contains(sources, samplesPlace) {
		next = "To edit definitions, put them into ./conf and start again."
	}
	fmt.Fprintf(w, `
  Sidecars come from: %[1]s

  See what becomes of a pod of a real Deployment, in another window:

    curl -sk %[2]s%[3]s | curl -sk -H 'Content-Type: application/json' --data-binary @- %[2]s%[3]s

  The answer as the API server gets it: the same, with %[2]s/mutate at its end.
  %[4]s Ctrl-C ends.

`, strings.Join(sources, ", "), url, previewPath, next)
}
