package e2e_test

import (
	"testing"
)

// restarts is the number of rolling restarts of all replicas.
const restarts = 20

// TestRollingRestarts restarts two replicas repeatedly, like a rollout. With failurePolicy Fail, no
// creation of a pod may fail.
func TestRollingRestarts(t *testing.T) {
	t.Parallel()
	i := installChart(t, "sample=true", "webhook.failurePolicy=Fail")
	i.start(i.pods(2), "--drain-delay=1s")
	i.awaitInjection()
	constant := i.createPods()
	for n := range restarts {
		replica := i.replicas[n%len(i.replicas)]
		must(t, replica.Stop())
		must(t, replica.Start(t.Context()))
		must(t, i.balancer.AwaitReady(t.Context(), replica))
	}
	constant.check()
}
