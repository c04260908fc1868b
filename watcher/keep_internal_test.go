package watcher

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/conf"
)

// What tools write into the metadata of a ConfigMap is often larger than its definitions.
func TestOnlyDefinitionsAreKept(t *testing.T) {
	t.Parallel()
	kept, ok := documentsOf(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sidecars", Name: "m", Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}},
		Data:       map[string]string{"k": "name: x\n"},
	})
	want := []conf.Document{{
		Origin:  conf.Origin{Kind: conf.ConfigMap, Place: "sidecars/m", Name: "k"},
		Content: []byte("name: x\n"), Line: 1,
	}}
	if diff := cmp.Diff(want, kept, cmpopts.IgnoreUnexported(conf.Document{})); diff != "" || !ok {
		t.Errorf("%v, kept (-want +got):\n%s", ok, diff)
	}
	if _, ok := documentsOf(&corev1.Secret{}); ok {
		t.Error("a Secret is taken for a ConfigMap")
	}
}

// A cluster has many namespaces, and tools write a lot into their metadata.
func TestOnlyTheAnnotationIsKept(t *testing.T) {
	t.Parallel()
	n := &Namespaces{annotation: "example.com/request"}
	for _, test := range []struct {
		annotations map[string]string
		want        request
	}{
		{map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "example.com/request": ""}, request{"", true}},
		{map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "example.com/request": "a"}, request{"a", true}},
		{map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}, request{}},
		{nil, request{}},
	} {
		kept, ok := n.keep(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "team", Annotations: test.annotations}})
		if kept != test.want || !ok {
			t.Errorf("of %v, %+v is kept, want %+v", test.annotations, kept, test.want)
		}
	}
	if _, ok := n.keep(&corev1.Namespace{}); ok {
		t.Error("a Namespace is taken for metadata")
	}
}
