package cli

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"

	"k8s-sidecar-injector/conf"
)

// sampleReview is a recorded review of a pod of a Deployment.
//
//go:embed sample-review.json
var sampleReview []byte

// previewPath is served only with --dev. GET returns the sample review. POST takes a review and returns the pod as
// YAML after the patch of the webhook.
const previewPath = "/preview"

// maxPreview is the largest review of which a preview is rendered.
const maxPreview = 256 << 10

func addPreview(handlers map[string]http.Handler, webhook http.Handler) {
	handlers["GET "+previewPath] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(sampleReview)
	})
	handlers["POST "+previewPath] = preview(webhook)
}

// responseBuffer is an http.ResponseWriter that keeps the response.
type responseBuffer struct {
	header http.Header
	status int // 0 means http.StatusOK
	body   bytes.Buffer
}

func (b *responseBuffer) Header() http.Header { return b.header }

func (b *responseBuffer) WriteHeader(status int) { b.status = status }

func (b *responseBuffer) Write(p []byte) (int, error) { return b.body.Write(p) }

func preview(webhook http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPreview))
		if err != nil {
			http.Error(w, "cannot read the review: "+err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(request))
		response := &responseBuffer{header: make(http.Header)}
		webhook.ServeHTTP(response, r)
		if response.status > http.StatusOK {
			http.Error(w, response.body.String(), response.status)
			return
		}
		pod, err := injectedPod(request, response.body.Bytes())
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(pod)
	})
}

// injectedPod returns the pod that the API server would store after the response, as YAML. It has no managedFields,
// which kubectl does not show either.
func injectedPod(request, response []byte) ([]byte, error) {
	var in, out admissionv1.AdmissionReview
	if err := cmp.Or(json.Unmarshal(request, &in), json.Unmarshal(response, &out)); err != nil {
		return nil, err
	}
	result := out.Response
	if !result.Allowed {
		return nil, fmt.Errorf("denied: %s", result.Result.Message)
	}
	pod, err := jsonpatch.MergePatch(in.Request.Object.Raw, []byte(`{"metadata":{"managedFields":null}}`))
	if err == nil && result.Patch != nil {
		pod, err = applyPatch(pod, result.Patch)
	}
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	outcome, reason := result.AuditAnnotations["outcome"], result.AuditAnnotations["reason"]
	fmt.Fprintf(&text, "# %s\n", strings.Join(slices.Compact([]string{outcome, reason}), ", "))
	for _, warning := range result.Warnings {
		fmt.Fprintf(&text, "# warning: %s\n", warning)
	}
	body, err := conf.JSONToYAML(pod)
	text.Write(body)
	return text.Bytes(), err
}

// printHint explains how to try the webhook. The page is the URL of the playground, or empty if there is none.
func printHint(w io.Writer, sources []string, address, page string) {
	next := "Edit a definition and send it again."
	if slices.Contains(sources, samplesPlace) {
		next = "To edit definitions, put them into ./conf and start again."
	}
	fmt.Fprintf(w, "\n  Definitions: %s\n", strings.Join(sources, ", "))
	if page != "" {
		fmt.Fprintf(w, "\n  To inject sidecars into manifests, open %s in a browser.\n", page)
	}
	fmt.Fprintf(w, `
  To see the sidecars in the pod of a sample Deployment, run in another terminal:

    curl -sk %[1]s%[2]s | curl -sk -H 'Content-Type: application/json' --data-binary @- %[1]s%[2]s

  To see the response that the API server gets, replace the last %[2]s by /mutate.
  %[3]s Press Ctrl-C to stop.

`, "https://"+address, previewPath, next)
}
