package server

import (
	"context"
	"time"

	"k8s-sidecar-injector/mutate"
)

// Namespaces gives what the annotation of a namespace asks for on behalf of its pods. It must be
// safe for concurrent use.
type Namespaces interface {
	// Default gives the request; it is not found where the namespace has none or does not exist. An
	// error means that it cannot be told now. It takes no longer than the context.
	Default(ctx context.Context, namespace string) (request string, found bool, err error)
}

// decodedFactor is how many times the size of a body its decoded form may have.
const decodedFactor = 4

// decide decides on a pod. It looks up the default of the namespace only if the pod has no request of
// its own and is not left alone, and holds no slot meanwhile. It fails if the client waits no longer.
func (h *Webhook) decide(ctx context.Context, request *mutate.Request, x *exchange) (mutate.Decision, error) {
	if err := inTime(x.deadline); err != nil {
		return mutate.Decision{}, err
	}
	snapshot := h.snapshots.Current()
	decision := mutate.Pod(snapshot, h.policy, request)
	if h.namespaces == nil || decision.Reason != mutate.ReasonNoAnnotation {
		return decision, nil
	}
	// What is decoded stays in memory, which is up to decodedFactor times the body.
	if err := x.hold(min(decodedFactor*x.cost, x.lane.budget/2)); err != nil {
		return decision, err
	}
	x.release()
	asked, found, err := h.lookUp(ctx, request.Namespace, x)
	if err := x.acquire(ctx); err != nil {
		return decision, err
	}
	switch {
	case err != nil:
		return mutate.Unavailable(h.policy, request, decision.Generation, err), nil
	case !found:
		return decision, nil
	}
	request.Default = &asked
	return mutate.Pod(snapshot, h.policy, request), nil
}

func (h *Webhook) lookUp(ctx context.Context, namespace string, x *exchange) (request string, found bool, err error) {
	ctx, cancel := x.waitContext(ctx)
	defer cancel()
	ctx, done := toLookUp(ctx, x.deadline)
	defer done()
	return h.namespaces.Default(ctx, namespace)
}

// toLookUp ends early enough before the deadline of a review for the answer to be in time. The zero
// deadline is none.
func toLookUp(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	if deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)*3/4)
}
