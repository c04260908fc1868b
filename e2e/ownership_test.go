package e2e_test

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/e2e/cluster"
)

// TestRefOwnership checks that a new ConfigMap cannot take a ref from its owner, whatever its name: not while
// the owner's document is invalid, not on a new replica, and not with the validating webhook.
func TestRefOwnership(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	old := s.follow()
	owner, thief := "configmap "+s.namespace+"/z-owner[sidecar.yaml]", "configmap "+s.namespace+"/a-thief[sidecar.yaml]"
	const rejected, first = "document rejected", `name: Duplicate value: "x:latest": defined first by `

	must(t, s.apply("z-owner", sidecar("x", "owner")))
	s.awaitContainers("x", "app,owner")
	s.awaitYounger("z-owner")
	must(t, s.apply("a-thief", sidecar("x", "thief")))
	s.awaitLine(old, rejected, thief+":1: "+first+owner)
	s.awaitContainers("x", "app,owner")

	must(t, s.apply("z-owner", "name: x\ncontainers: [\n"))
	s.awaitLine(old, rejected, owner+":3: invalid YAML")
	s.awaitContainers("x", "app,owner")
	fresh := s.start(s.configMapFlags(s.again())...)
	must(t, fresh.AwaitReady(t.Context()))
	s.awaitLine(fresh, rejected, thief+":1: "+first+owner)
	equal(t, "the number of sidecars of a new replica", s.metric(fresh, "sidecar_injector_snapshot_sidecars"), 0)

	s.registerValidating(fresh)
	for _, name := range []string{"b-thief", "zz-thief"} {
		if err := s.apply(name, sidecar("x", "thief")); err == nil || !strings.Contains(err.Error(), first+owner) {
			t.Errorf("%s: got error %v, want %s in it", name, err, first+owner)
		}
	}

	must(t, s.apply("z-owner", sidecar("x", "fixed")))
	s.awaitContainers("x", "app,fixed")
	s.await("the replicas to agree", func() error {
		if one, other := s.digest(old), s.digest(fresh); one == "" || one != other {
			return errors.New(one + " and " + other)
		}
		return nil
	})
}

// again returns the existing identity of a scene.
func (s *scene) again() *cluster.Identity {
	s.Helper()
	id, err := s.Identity(s.Context(), s.namespace, "injector")
	must(s.T, err)
	return id
}

// awaitYounger waits until new objects are younger than a ConfigMap: timestamps have whole seconds.
func (s *scene) awaitYounger(name string) {
	s.Helper()
	configMaps := s.client().CoreV1().ConfigMaps(s.namespace)
	older, err := configMaps.Get(s.Context(), name, metav1.GetOptions{})
	must(s.T, err)
	s.await("the next second", func() error {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"}}
		younger, err := configMaps.Create(s.Context(), probe, dryRun())
		if err == nil && !younger.CreationTimestamp.After(older.CreationTimestamp.Time) {
			err = errors.New("it is the same one")
		}
		return err
	})
}

// digest returns the digest of the snapshot that an injector published last.
func (s *scene) digest(i *cluster.Injector) (digest string) {
	s.Helper()
	lines, err := i.Lines()
	must(s.T, err)
	for _, line := range lines {
		if line["message"] == "snapshot published" {
			digest, _ = line["digest"].(string)
		}
	}
	return digest
}
