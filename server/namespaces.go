package server

import (
	"cmp"
	"context"
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
	if err := checkDeadline(f.deadline); err != nil {
		return mutate.Decision{}, err
	}
	var lost error
	if h.namespaces != nil {
		request.NamespaceDefault = func() (value string, found bool, err error) {
			lost = f.withoutSlot(ctx, func() {
				value, found, err = h.lookUp(ctx, request.Namespace, f)
			})
			return value, found, cmp.Or(lost, err)
		}
	}
	return mutate.Pod(h.snapshots.Current(), h.policy, request), lost
}

// withoutSlot calls a function that waits, and holds no slot meanwhile. It returns an error if the request
// does not get a slot again. The decoded review stays in memory.
func (f *inflight) withoutSlot(ctx context.Context, wait func()) error {
	if err := f.hold(min(decodedFactor*f.cost, f.lane.budget/2)); err != nil {
		return err
	}
	f.release()
	wait()
	return f.acquire(ctx)
}

func (h *Webhook) lookUp(ctx context.Context, namespace string, f *inflight) (request string, found bool, err error) {
	ctx, cancel := f.waitContext(ctx)
	defer cancel()
	ctx, done := lookupContext(ctx, f.deadline)
	defer done()
	return h.namespaces.Default(ctx, namespace)
}

// lookupContext ends before the deadline, so that a review can be answered after a failed lookup.
// The zero deadline means none.
func lookupContext(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	if deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)*3/4)
}
