package pki

import (
	"crypto/x509"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
)

const (
	// maxOverlap is how long a CA is trusted after its last certificate was replaced. By then, every
	// replica serves the new certificate, even after a network failure.
	maxOverlap = 24 * time.Hour
	// maxPropagation is how long API servers may take to use a new caBundle.
	maxPropagation = time.Minute
	// maxOld limits the bundle if the Secret is deleted repeatedly.
	maxOld = 7
)

// overlap and propagation are shorter for lifetimes below 3 days and 15 minutes, respectively.
func (o *Options) overlap() time.Duration     { return min(maxOverlap, o.Lifetime/3) }
func (o *Options) propagation() time.Duration { return min(maxPropagation, o.Lifetime/15) }

// next returns the next state of the Secret and the reason, or nil if nothing is due. The state held is nil if
// the Secret is absent or invalid; served is the state in service, nil if there is none. propagated reports that
// all API servers use the bundle of the Secret.
func (o *Options) next(held, served *state, propagated bool, now time.Time) (next *state, reason string, err error) {
	switch {
	case held == nil && served != nil && now.Before(served.leaf.Leaf.NotAfter):
		// The certificate in service stays, and stays trusted, until the new CA is propagated.
		next, err = o.renewCA(served, now)
		return next, "replacement of an invalid Secret", err
	case held == nil:
		next, err = o.first(now)
		return next, "first certificates", err
	case held.rotating && (propagated || !now.Before(held.leaf.Leaf.NotAfter)):
		next, err = o.renew(held, o.Names, now)
		return next, "certificate by the new CA, which is trusted now", err
	case held.rotating:
		return nil, "", nil
	case !now.Before(renewal(held.ca.Leaf)):
		next, err = o.renewCA(held, now)
		return next, "new CA after two thirds of the lifetime", err
	case !now.Before(renewal(held.leaf.Leaf)):
		next, err = o.renew(held, o.Names, now)
		return next, "renewal after two thirds of the lifetime", err
	}
	names := sets.New(namesOf(held.leaf.Leaf)...)
	switch {
	case !names.HasAll(o.Names...):
		// Keep the old names: during an upgrade, other replicas may need them.
		next, err = o.renew(held, sets.List(names.Insert(o.Names...)), now)
		return next, "renewal for other names", err
	case len(held.old) > 0 && !now.Before(issuedAt(held.leaf.Leaf).Add(o.overlap())):
		return &state{ca: held.ca, leaf: held.leaf}, "removal of the old CA", nil
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

// renewCA issues a new CA, and trusts the current one in addition. The certificate stays.
func (o *Options) renewCA(held *state, now time.Time) (*state, error) {
	ca, err := newCA(now, o.CALifetime)
	if err != nil {
		return nil, err
	}
	old := held.old
	if !held.rotating { // else the CA has not signed yet
		old = slices.Concat([]*x509.Certificate{held.ca.Leaf}, old)
	}
	return &state{ca: ca, old: old[:min(len(old), maxOld)], leaf: held.leaf, rotating: true}, nil
}

// renew issues a certificate for these names.
func (o *Options) renew(held *state, names []string, now time.Time) (*state, error) {
	leaf, err := newLeaf(held.ca, now, o.Lifetime, names)
	return &state{ca: held.ca, old: held.old, leaf: leaf}, err
}
