package cli_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// trialCases returns clusters in which only a trial pod is created. Nothing may be read.
func trialCases() map[string]checkCase {
	trial := func(respond http.HandlerFunc, forbidden ...string) func(*checkServer) {
		return func(s *checkServer) {
			s.objects, s.version, s.trial, s.forbidden = nil, "proxy", respond, forbidden
		}
	}
	args := []string{"--trial", "--sidecar=logger:v1", "-n", "team", "--annotation-namespace=a.example"}
	return map[string]checkCase{
		"trial without a sidecar": {change: trial(nil), args: []string{"--trial"}},
		"trial": {
			change: trial(injectTrial("a.example", "other:v1@0123456789ab,logger:v1@0123456789ab")), args: args,
		},
		"trial of another sidecar": {
			change: trial(injectTrial("a.example", "logger:v2@0123456789ab")), args: args,
			want: "failed: trial-pod: sidecar logger:v1 was not injected into a trial pod in namespace team: none\n",
		},
		"trial with other annotations": {
			change: trial(injectTrial("b.example", "logger:v1@0123456789ab")), args: args,
			want: "failed: trial-pod: the API server created a trial pod in namespace team, as a dry run, without an answer " +
				"of the webhook\n",
		},
		"skipped trial": {
			change: trial(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Warning", `299 - "unknown_sidecar: there is no sidecar"`)
				answerTrial(w, r, map[string]string{"a.example/status": "skipped: unknown_sidecar"})
			}), args: args,
			want: "failed: trial-pod: sidecar logger:v1 was not injected into a trial pod in namespace team: " +
				"unknown_sidecar: there is no sidecar\n",
		},
		"denied trial": {
			change: trial(status(http.StatusForbidden, "Forbidden", "admission webhook denied the request: conflict: x")),
			args:   args,
			want: "failed: trial-pod: the API server does not create a trial pod in namespace team: admission webhook denied " +
				"the request: conflict: x\n",
		},
		"forbidden trial": {
			change: trial(nil, "create pods"), args: args,
			want: "failed: trial-pod: the API server does not create a trial pod in namespace team: cannot create pods in " +
				"namespace team: pods is forbidden: User \"u\" may not: grant it with a Role that has the verb create for pods\n",
			hint: "grant the permission to the caller, or select another namespace with --namespace",
		},
	}
}

// injectTrial returns a handler that injects a container into a trial pod that requests logger:v1.
func injectTrial(annotations, injected string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answerTrial(w, r, map[string]string{
			annotations + "/status": "injected", annotations + "/injected": injected,
		}, corev1.Container{Name: "logger"})
	}
}

// answerTrial responds with the trial pod with more annotations and containers.
func answerTrial(w http.ResponseWriter, r *http.Request, annotations map[string]string, added ...corev1.Container) {
	var pod corev1.Pod
	if json.NewDecoder(r.Body).Decode(&pod) != nil || pod.Annotations["a.example/request"] != "logger:v1" ||
		!strings.HasSuffix(r.URL.Path, "/namespaces/team/pods") {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	maps.Copy(pod.Annotations, annotations)
	pod.Spec.Containers = append(pod.Spec.Containers, added...)
	_ = json.NewEncoder(w).Encode(pod)
}
