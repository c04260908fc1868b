package pki

import (
	"crypto/x509"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
)

const (
	// maxOverlap is how long an old CA is trusted after the new CA has signed a serving certificate. By then,
	// every replica serves the new certificate, even after a network failure.
	maxOverlap = 24 * time.Hour
	// maxPropagation is how long API servers may take to use a new caBundle.
	maxPropagation = time.Minute
	// maxOld limits the old CAs in the bundle if the Secret is deleted repeatedly.
	maxOld = 7
)

// overlap and propagation are below their maximum for lifetimes below 3 days and 15 minutes, respectively.
func (o *Options) overlap() time.Duration     { return min(maxOverlap, o.Lifetime/3) }
func (o *Options) propagation() time.Duration { return min(maxPropagation, o.Lifetime/15) }

// next returns the next state of the Secret and what it changes, or nil if nothing is due. stored is the state in
// the Secret, nil if the Secret is missing or invalid. served is the state in service, nil if there is none.
// propagated reports whether all API servers use the bundle of the Secret.
func (o *Options) next(stored, served *state, propagated bool, now time.Time) (next *state, change string, err error) {
	switch {
	case stored == nil && served != nil && now.Before(served.leaf.Leaf.NotAfter):
		// The certificate in service stays, and its CA stays trusted, until the new CA has propagated.
		next, err = o.renewCA(served, now)
		return next, "new CA, because the Secret was missing or invalid", err
	case stored == nil:
		next, err = o.first(now)
		return next, "new CA and certificate", err
	case stored.rotating && (propagated || !now.Before(stored.leaf.Leaf.NotAfter)):
		next, err = o.renew(stored, o.Names, now)
		return next, "certificate signed by the new CA", err
	case stored.rotating:
		return nil, "", nil
	case !now.Before(renewal(stored.ca.Leaf)):
		next, err = o.renewCA(stored, now)
		return next, "new CA, because the old one is due for renewal", err
	case !now.Before(renewal(stored.leaf.Leaf)):
		next, err = o.renew(stored, o.Names, now)
		return next, "certificate renewed", err
	}
	names := sets.New(namesOf(stored.leaf.Leaf)...)
	switch {
	case !names.HasAll(o.Names...):
		// Keep the old names: during an upgrade, other replicas may need them.
		next, err = o.renew(stored, sets.List(names.Insert(o.Names...)), now)
		return next, "certificate with additional names", err
	case len(stored.old) > 0 && !now.Before(issuedAt(stored.leaf.Leaf).Add(o.overlap())):
		return &state{ca: stored.ca, leaf: stored.leaf}, "old CA removed", nil
	}
	return nil, "", nil
}

// first issues a CA and a certificate.
func (o *Options) first(now time.Time) (*state, error) {
	ca, err := newCA(now, o.CALifetime)
	if err != nil {
		return nil, err
	}
	return o.renew(&state{ca: ca}, o.Names, now)
}

// renewCA issues a new CA, and keeps trusting the current CA. The serving certificate stays.
func (o *Options) renewCA(current *state, now time.Time) (*state, error) {
	ca, err := newCA(now, o.CALifetime)
	if err != nil {
		return nil, err
	}
	old := current.old
	if !current.rotating { // otherwise the CA has signed nothing yet
		old = slices.Concat([]*x509.Certificate{current.ca.Leaf}, old)
	}
	return &state{ca: ca, old: old[:min(len(old), maxOld)], leaf: current.leaf, rotating: true}, nil
}

// renew issues a serving certificate for these names.
func (o *Options) renew(current *state, names []string, now time.Time) (*state, error) {
	leaf, err := newLeaf(current.ca, now, o.Lifetime, names)
	return &state{ca: current.ca, old: current.old, leaf: leaf}, err
}
