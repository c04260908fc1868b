package server

import (
	"context"
	"errors"
	"time"

	"k8s-sidecar-injector/mutate"
)

// Namespaces looks up the defaults of namespaces. It must be safe for concurrent use.
type Namespaces interface {
	// Default returns the request annotation of a namespace. It returns false if the namespace has
	// no annotation or does not exist, and an error if the lookup failed. It returns when the
	// context ends.
	Default(ctx context.Context, namespace string) (request string, found bool, err error)
}

// decodedFactor is how many times the size of a body its decoded form may have.
const decodedFactor = 4

// decide decides about a pod. It returns an error if the client does not wait any longer.
func (h *Webhook) decide(ctx context.Context, request *mutate.Request, f *inflight) (mutate.Decision, error) {
	if h.namespaces != nil {
		request.NamespaceDefault = func() (string, bool, error) { return h.lookUp(ctx, request.Namespace, f) }
	}
	decision := mutate.Pod(h.snapshots.Current(), h.policy, request)
	if lost, ok := errors.AsType[*refusal](decision.Cause); ok {
		return mutate.Decision{}, lost
	}
	return decision, nil
}

// lookUp returns the request of a namespace. It holds no slot meanwhile, but the decoded review stays in
// memory. It ends before the deadline, so that a review can be answered after a failed lookup. The error is
// a refusal if the request does not get a slot again.
func (h *Webhook) lookUp(ctx context.Context, namespace string, f *inflight) (string, bool, error) {
	if err := f.hold(min(decodedFactor*f.cost, f.lane.budget/2)); err != nil {
		return "", false, err
	}
	f.release()
	waiting, cancel := f.waitContext(ctx)
	defer cancel()
	waiting, stop := context.WithTimeout(waiting, time.Until(f.deadline)*3/4)
	defer stop()
	request, found, err := h.namespaces.Default(waiting, namespace)
	if lost := f.acquire(ctx); lost != nil {
		return "", false, lost
	}
	return request, found, err
}
