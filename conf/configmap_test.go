package conf_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/conf"
)

func TestOfConfigMap(t *testing.T) {
	t.Parallel()
	documents := conf.OfConfigMap(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sidecars", Name: "m"},
		Data:       map[string]string{"b": "name: x\n---\nname: y\n", "a": "", "z": "\xff\x00"},
		BinaryData: map[string][]byte{"c": {0}},
	})
	want := []struct {
		origin  string
		content string
		bad     bool
	}{
		{"configmap sidecars/m[a]", "", true},
		{"configmap sidecars/m[b]", "name: x\n", false},
		{"configmap sidecars/m[b] document 2", "\nname: y\n", false},
		{"configmap sidecars/m[c]", "", true},
		{"configmap sidecars/m[z]", "\xff\x00", false}, // which the parser refuses
	}
	if len(documents) != len(want) {
		t.Fatalf("%d documents, want %d: %v", len(documents), len(want), documents)
	}
	for i, d := range documents {
		if d.Origin.String() != want[i].origin || string(d.Content) != want[i].content || (d.Err != nil) != want[i].bad ||
			d.BaseOnly {
			t.Errorf("document %d is %s %q, %v; want %+v", i, d.Origin, d.Content, d.Err, want[i])
		}
	}
	if none := conf.OfConfigMap(new(corev1.ConfigMap)); none != nil {
		t.Errorf("a ConfigMap without keys has %v", none)
	}
}
