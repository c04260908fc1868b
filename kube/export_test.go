package kube

import "time"

// SetDelay shortens the delay after failures to this one. It must come before Run.
func (i *Informer[V]) SetDelay(delay time.Duration) {
	i.failures.Duration, i.failures.Steps = delay, 0
}
