package e2e_test

import "testing"

// TestEntrypoint runs the program like the original's Deployment: as entrypoint.sh, without arguments,
// with its environment, and with the original's default label of ConfigMaps.
func TestEntrypoint(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	id := s.identity()
	must(t, s.apply("a", sidecar("from-map", "map")))
	i, err := s.StartEntrypoint(t.Context(),
		"CONFIG_DIR="+s.directory(sidecar("from-file:v2", "file")), "CONFIGMAP_NAMESPACE="+s.namespace,
		"KUBECONFIG="+id.Kubeconfig, "LOG_LEVEL=2", "ANNOTATION_NAMESPACE=")
	must(t, err)
	t.Cleanup(i.Kill)
	must(t, i.AwaitReady(t.Context()))
	s.register(i, nil)
	s.awaitContainers("from-map", "app,map")
	s.awaitContainers("from-file:v2", "app,file")
}
