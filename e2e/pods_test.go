package e2e_test

import "testing"

// logger is the sidecar of most tests.
const logger = `name: logger:v1
containers: [{name: logger, image: 'registry.example.com/logger:1'}]
volumes: [{name: app-logs, emptyDir: {}}]
volumeMounts: [{name: app-logs, mountPath: /var/log/app}]
env: [{name: LOG_DIR, value: /var/log/app}]
`

func TestBarePod(t *testing.T) {
	t.Parallel()
	s := newScene(t, shared)
	s.inject(logger)
	stored := s.create(pod("bare", "logger:v1"))
	equal(t, "the list of containers", containers(stored), "app,logger")
}
