package server

import (
	"context"
	"errors"

	"k8s-sidecar-injector/mutate"
)

// decider decides about pods.
type decider struct {
	snapshots  Snapshots
	namespaces Namespaces // nil if namespaces have no defaults
	policy     *mutate.Policy
}

// decide decides about a pod. The error is a refusal: the request lost its slot for a lookup and got no other.
func (d *decider) decide(ctx context.Context, request *mutate.Request, f *inflight) (mutate.Decision, error) {
	if d.namespaces != nil {
		request.NamespaceDefault = func() (string, bool, error) { return d.lookUp(ctx, request.Namespace, f) }
	}
	decision := mutate.Pod(d.snapshots.Current(), d.policy, request)
	if refused, ok := errors.AsType[*refusal](decision.Cause); ok {
		return mutate.Decision{}, refused
	}
	return decision, nil
}
