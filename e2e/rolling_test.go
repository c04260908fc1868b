package e2e_test

import (
	"testing"
)

// restarts is how many times all replicas are restarted, one after the other.
const restarts = 20

// Two replicas are restarted over and over, as a rollout does it, and with failurePolicy Fail not
// one creation of a pod fails.
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
