package mutate_test

import (
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
)

func TestInjectedValue(t *testing.T) {
	t.Parallel()
	set := conf.Load(conf.Split(conf.Origin{Place: "conf", Name: "a.yaml"}, []byte("name: a:v1\nhostPID: true\n---\nname: b\nhostPID: true\n"), nil), nil)
	if len(set.Sidecars) != 2 {
		t.Fatalf("got %v", set)
	}
	a, b := set.Sidecars[0], set.Sidecars[1]
	if a.Ref.Name != "a" {
		a, b = b, a
	}
	for want, sidecars := range map[string][]*conf.Sidecar{
		"":                      nil,
		"a:v1@" + a.Digest[:12]: {a},
		strings.Join([]string{"b:latest@" + b.Digest[:12], "a:v1@" + a.Digest[:12]}, ","): {b, a},
	} {
		if got := mutate.InjectedValue(sidecars); got != want {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}
