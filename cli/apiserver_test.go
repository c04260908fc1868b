package cli_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// apiServer is an API server that lists objects, by namespace and name, and returns single ones.
type apiServer struct {
	objects   []unstructured.Unstructured
	forbidden []string // resources such as `pods` in all namespaces, or `pods/shop` in one
	expires   bool     // whether each token of a list expires once
}

// apiServerCommand starts an API server with the objects of a YAML file, and writes its kubeconfig.
func apiServerCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: apiserver FILE [forbid=RESOURCE[/NAMESPACE]]... [copies=N] [expire] [version=V] [deny=VERB]... " +
			"[sidecars=POD:PORT:FILE]...")
	}
	s := &checkServer{version: "v1.33.1", sidecars: make(map[string]string)}
	var err error
	s.objects, err = parseObjects(ts.ReadFile(args[0]))
	ts.Check(err)
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "forbid":
			s.forbidden = append(s.forbidden, value)
		case "expire":
			s.expires = true
		case "version":
			s.version = value
		case "deny":
			s.denied = append(s.denied, value)
		case "sidecars":
			at := strings.LastIndex(value, ":")
			s.sidecars[value[:at]] = ts.ReadFile(value[at+1:])
		case "copies":
			count, err := strconv.Atoi(value)
			ts.Check(err)
			s.copyPods(count)
		}
	}
	slices.SortFunc(s.objects, func(a, b unstructured.Unstructured) int {
		return strings.Compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName())
	})
	server := httptest.NewServer(s)
	ts.Defer(server.Close)
	kubeconfig := ts.MkAbs("kubeconfig")
	ts.Check(os.WriteFile(kubeconfig, fmt.Appendf(nil, "apiVersion: v1\nkind: Config\ncurrent-context: c\n"+
		"contexts: [{name: c, context: {cluster: k, namespace: shop}}, {name: d, context: {cluster: k, namespace: team}}]\n"+
		"clusters: [{name: k, cluster: {server: '%s'}}]\n", server.URL), 0o600))
	ts.Setenv("KUBECONFIG", filepath.Clean(kubeconfig))
}

// parseObjects parses the YAML documents of objects.
func parseObjects(text string) (objects []unstructured.Unstructured, err error) {
	for document := range strings.SplitSeq(text, "\n---\n") {
		var object unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// copyPods makes copies of each pod.
func (s *apiServer) copyPods(count int) {
	for _, object := range s.objects {
		for n := range count {
			if object.GetKind() == "Pod" {
				another := unstructured.Unstructured{Object: maps.Clone(object.Object)}
				metadata := maps.Clone(object.Object["metadata"].(map[string]any))
				metadata["name"] = fmt.Sprintf("%s-%d", object.GetName(), n)
				another.Object["metadata"] = metadata
				s.objects = append(s.objects, another)
			}
		}
	}
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	resource, namespace, name := parsePath(r.URL.Path)
	at := strings.TrimSuffix(resource+"/"+namespace, "/")
	if slices.Contains(s.forbidden, at) {
		fail(w, metav1.Status{
			Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden, Message: at + " is forbidden: User may not",
		})
		return
	}
	if name == "" {
		s.list(w, r, resource, namespace)
		return
	}
	for _, object := range s.objects {
		if resourceOf(object) == resource && object.GetNamespace() == namespace && object.GetName() == name {
			_ = json.NewEncoder(w).Encode(object.Object)
			return
		}
	}
	fail(w, metav1.Status{
		Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound, Message: resource + " " + name + " not found",
	})
}

// parsePath returns the parts of /api/v1/namespaces/NAMESPACE/RESOURCE/NAME and of shorter paths.
func parsePath(path string) (resource, namespace, name string) {
	parts := strings.Split(path, "/")[3:]
	if strings.HasPrefix(path, "/apis/") {
		parts = parts[1:]
	}
	if len(parts) > 2 {
		namespace, parts = parts[1], parts[2:]
	}
	return parts[0], namespace, strings.Join(parts[1:], "")
}

func resourceOf(object unstructured.Unstructured) string {
	return strings.ToLower(object.GetKind()) + "s"
}

func (s *apiServer) list(w http.ResponseWriter, r *http.Request, resource, namespace string) {
	query := r.URL.Query()
	if query.Get("watch") != "" { // nothing changes
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	token, renewed := strings.CutSuffix(query.Get("continue"), "-newer")
	if s.expires && token != "" && !renewed {
		fail(w, metav1.Status{
			Reason: metav1.StatusReasonExpired, Code: http.StatusGone, Message: "too old",
			ListMeta: metav1.ListMeta{Continue: token + "-newer"},
		})
		return
	}
	byLabel, _ := labels.Parse(query.Get("labelSelector"))
	byField, _ := fields.ParseSelector(query.Get("fieldSelector"))
	items := []any{}
	for _, object := range s.objects {
		phase, _, _ := unstructured.NestedString(object.Object, "status", "phase")
		if resourceOf(object) == resource && (namespace == "" || object.GetNamespace() == namespace) &&
			byLabel.Matches(labels.Set(object.GetLabels())) && byField.Matches(fields.Set{"status.phase": phase}) {
			items = append(items, object.Object)
		}
	}
	start, _ := strconv.Atoi(token)
	limit, _ := strconv.Atoi(query.Get("limit"))
	metadata := map[string]any{"resourceVersion": "1"}
	end := min(start+limit, len(items))
	if end < len(items) {
		metadata["continue"] = strconv.Itoa(end)
	}
	kind := "List"
	if resource == "configmaps" {
		kind = "ConfigMapList" // as an informer requires
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": items[start:end],
	})
}

func fail(w http.ResponseWriter, status metav1.Status) {
	status.Kind, status.APIVersion, status.Status = "Status", "v1", metav1.StatusFailure
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status)
}
