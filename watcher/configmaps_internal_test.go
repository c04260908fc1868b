package watcher

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"k8s-sidecar-injector/conf"
)

// A cluster has many ConfigMaps, and what tools write into their metadata is often larger than
// they are.
func TestOnlyDefinitionsAreKept(t *testing.T) {
	t.Parallel()
	kept, err := keepDefinitions(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "sidecars", Name: "m", UID: "u", ResourceVersion: "7",
			Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: "{}"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		},
		Data: map[string]string{"k": "name: x\n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &definitions{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sidecars", Name: "m", UID: "u", ResourceVersion: "7"},
		documents: []conf.Document{{
			Origin:  conf.Origin{Kind: conf.ConfigMap, Place: "sidecars/m", Name: "k"},
			Content: []byte("name: x\n"), Line: 1,
		}},
	}
	if diff := cmp.Diff(want, kept, cmp.AllowUnexported(definitions{})); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	// The informer may transform again, and marks what was removed while it did not look.
	for _, object := range []any{kept, cache.DeletedFinalStateUnknown{Key: "sidecars/m", Obj: kept}} {
		if again, err := keepDefinitions(object); err != nil || again != object {
			t.Errorf("transformed again, %T is %v, %v", object, again, err)
		}
	}
}
