package watcher

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/conf"
)

// The metadata of a ConfigMap is often larger than its definitions.
func TestConfigMapMetadataIsDropped(t *testing.T) {
	t.Parallel()
	kept := conf.OfConfigMap(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "sidecars", Name: "m", Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}"},
		},
		Data: map[string]string{"k": "name: x\n"},
	})
	want := []conf.Document{{
		Origin:  conf.Origin{Kind: conf.ConfigMap, Root: "sidecars/m", Name: "k"},
		Content: []byte("name: x\n"), Line: 1,
	}}
	if diff := cmp.Diff(want, kept, cmpopts.IgnoreUnexported(conf.Document{})); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// A cluster has many namespaces, and their metadata may be large.
func TestNamespaceMetadataIsDropped(t *testing.T) {
	t.Parallel()
	n := &Namespaces{key: "example.com/request"}
	for _, test := range []struct {
		annotations map[string]string
		want        annotation
	}{
		{map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "example.com/request": ""}, annotation{found: true}},
		{
			map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "example.com/request": "a"},
			annotation{value: "a", found: true},
		},
		{map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}, annotation{}},
		{nil, annotation{}},
	} {
		metadata := metav1.ObjectMeta{Name: "team", Annotations: test.annotations}
		kept := n.annotationOf(&metav1.PartialObjectMetadata{ObjectMeta: metadata})
		if kept != test.want {
			t.Errorf("of %v, %+v is kept, want %+v", test.annotations, kept, test.want)
		}
	}
}
