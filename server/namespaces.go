package server

import (
	"context"
	"time"
)

// Namespaces looks up the defaults of namespaces. It must be safe for concurrent use.
type Namespaces interface {
	// Default returns the request annotation of a namespace. It returns false if the namespace has
	// no annotation or does not exist, and an error if the lookup failed. It returns when the
	// context ends.
	Default(ctx context.Context, namespace string) (request string, found bool, err error)
}

// decodedFactor is how many times as large as its body a decoded review may be.
const decodedFactor = 4

// lookUp returns the request annotation of a namespace. It releases the slot meanwhile, but the decoded review
// stays in memory. It ends before the deadline, so that a review can be answered after a failed lookup. The error
// is a refusal if the request is cut off or gets no slot again.
func (d *decider) lookUp(ctx context.Context, namespace string, f *inflight) (string, bool, error) {
	if err := f.hold(min(decodedFactor*f.cost, f.lane.budget/2)); err != nil {
		return "", false, err
	}
	f.release()
	waiting, cancel := f.waitContext(ctx)
	defer cancel()
	waiting, stop := context.WithTimeout(waiting, time.Until(f.deadline)*3/4)
	defer stop()
	request, found, err := d.namespaces.Default(waiting, namespace)
	if refused := f.acquire(ctx); refused != nil {
		return "", false, refused
	}
	return request, found, err
}
