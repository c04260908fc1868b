package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestPreview verifies that the preview returns the pod that the API server would store, or the error of the webhook.
func TestPreview(t *testing.T) {
	t.Parallel()
	const review = `{"request":{"object":{"metadata":{"creationTimestamp":null,"managedFields":[{}]},` +
		`"x":12345678901234567}}}`
	for name, test := range map[string]struct {
		response admissionv1.AdmissionResponse
		status   int // of the webhook
		want     string
		code     int
	}{
		"skipped": {
			response: admissionv1.AdmissionResponse{
				Allowed:          true,
				AuditAnnotations: map[string]string{"outcome": "skipped", "reason": "unknown_sidecar"},
				Warnings:         []string{"text"},
			},
			want: "# skipped, unknown_sidecar\n# warning: text\nmetadata:\n  creationTimestamp: null\nx: 12345678901234567\n",
		},
		"injected": {
			response: admissionv1.AdmissionResponse{
				Allowed:          true,
				AuditAnnotations: map[string]string{"outcome": "injected", "reason": "injected"},
				Patch:            []byte(`[{"op":"add","path":"/y","value":1}]`),
			},
			want: "# injected\nmetadata:\n  creationTimestamp: null\nx: 12345678901234567\n\"y\": 1\n",
		},
		"denied": {
			response: admissionv1.AdmissionResponse{Result: &metav1.Status{Message: "conflict"}},
			want:     "denied: conflict\n", code: http.StatusUnprocessableEntity,
		},
		"refused": {status: http.StatusRequestEntityTooLarge, want: "refused\n", code: http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			webhook := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if test.status != 0 {
					w.WriteHeader(test.status)
					_, _ = w.Write([]byte("refused"))
					return
				}
				if err := json.NewDecoder(r.Body).Decode(new(any)); err != nil {
					t.Error(err)
				}
				_ = json.NewEncoder(w).Encode(admissionv1.AdmissionReview{Response: &test.response})
			})
			w := httptest.NewRecorder()
			preview(webhook).ServeHTTP(w, httptest.NewRequest(http.MethodPost, previewPath, strings.NewReader(review)))
			if code := max(test.code, http.StatusOK); w.Code != code || w.Body.String() != test.want {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, code, test.want)
			}
		})
	}
}

// A large review is refused before the webhook or the renderer gets it.
func TestPreviewOfLargeReview(t *testing.T) {
	t.Parallel()
	webhook := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the webhook was called") })
	w := httptest.NewRecorder()
	body := strings.NewReader(strings.Repeat(" ", maxPreview+1))
	preview(webhook).ServeHTTP(w, httptest.NewRequest(http.MethodPost, previewPath, body))
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}
