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

// decide decides about a pod, and asks for the default of its namespace where that matters: neither
// a pod with a request of its own nor one that is left alone costs a look.
func (h *Webhook) decide(ctx context.Context, request *mutate.Request, deadline time.Time) mutate.Decision {
	snapshot := h.snapshots.Current()
	decision := mutate.Pod(snapshot, h.policy, request)
	if h.namespaces == nil || decision.Reason != mutate.ReasonNoAnnotation {
		return decision
	}
	ctx, cancel := toLookUp(ctx, deadline)
	defer cancel()
	asked, found, err := h.namespaces.Default(ctx, request.Namespace)
	switch {
	case err != nil:
		return mutate.Unavailable(h.policy, request, decision.Generation, err)
	case !found:
		return decision
	}
	request.Default = &asked
	return mutate.Pod(snapshot, h.policy, request)
}

// toLookUp ends early enough before the deadline of a review for the answer to be in time. The zero
// deadline is none.
func toLookUp(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	if deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)*3/4)
}
