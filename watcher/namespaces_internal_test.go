package watcher

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// A cluster has many namespaces, and tools write a lot into their metadata.
func TestOnlyTheAnnotationIsKept(t *testing.T) {
	t.Parallel()
	n := &Namespaces{annotation: "example.com/request", log: zerolog.Nop()}
	whole := func(annotations map[string]string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{
			TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
			ObjectMeta: metav1.ObjectMeta{
				Name: "team", UID: "u", ResourceVersion: "7", Annotations: annotations,
				Labels: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
			},
		}
	}
	for _, test := range []struct{ annotations, want map[string]string }{
		{map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "example.com/request": ""}, map[string]string{"example.com/request": ""}},
		{map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}, nil},
		{nil, nil},
	} {
		kept, err := n.keep(whole(test.annotations))
		want := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "team", UID: "u", ResourceVersion: "7", Annotations: test.want}}
		if diff := cmp.Diff(any(want), kept); diff != "" || err != nil {
			t.Errorf("%v, kept (-want +got):\n%s", err, diff)
		}
		// The informer may transform again, and marks what was removed while it did not look.
		again, err := n.keep(kept)
		if diff := cmp.Diff(kept, again); diff != "" || err != nil {
			t.Errorf("transformed again, %v:\n%s", err, diff)
		}
		gone := cache.DeletedFinalStateUnknown{Key: "team", Obj: kept}
		if again, err := n.keep(gone); err != nil || again != any(gone) {
			t.Errorf("transformed again, %T is %v, %v", gone, again, err)
		}
	}
}
