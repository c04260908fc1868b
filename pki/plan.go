package pki

import (
	"crypto/x509"
	"slices"
	"time"
)

const (
	// maxOverlap is how long a CA is trusted after its last certificate was replaced. By then, every
	// replica serves the new certificate, even after a network failure.
	maxOverlap = 24 * time.Hour
	// maxPropagation is how long API servers may take to use a new caBundle.
	maxPropagation = time.Minute
	// maxTrusted limits the bundle if the Secret is deleted repeatedly.
	maxTrusted = 8
)

// spec describes the desired certificates.
type spec struct {
	names      []string // DNS names and IP addresses, sorted
	lifetime   time.Duration
	caLifetime time.Duration
}

// overlap and propagation are shorter for lifetimes below 3 days and 15 minutes, respectively.
func (s *spec) overlap() time.Duration     { return min(maxOverlap, s.lifetime/3) }
func (s *spec) propagation() time.Duration { return min(maxPropagation, s.lifetime/15) }

// observed is the input of next beside the state of the Secret.
type observed struct {
	now time.Time
	// propagated reports that all API servers use the bundle of the Secret.
	propagated bool
	// last is the state in service, nil if there is none.
	last *state
}

// next returns the next state of the Secret and the reason, or nil if nothing is due. The state held is nil if
// the Secret is absent or invalid.
func (s *spec) next(held *state, o observed) (next *state, reason string, err error) {
	switch {
	case held == nil && o.last != nil && o.now.Before(o.last.leaf.Leaf.NotAfter):
		// The certificate in service stays, and stays trusted, until the new CA is propagated.
		next, err = s.renewCA(o.last, o.now)
		return next, "replacement of an invalid Secret", err
	case held == nil:
		next, err = s.first(o.now)
		return next, "first certificates", err
	case !held.settled() && (o.propagated || !o.now.Before(held.leaf.Leaf.NotAfter)):
		next, err = s.renew(held, s.names, o.now)
		return next, "certificate by the new CA, which is trusted now", err
	case !held.settled():
		return nil, "", nil
	case !o.now.Before(renewal(held.trusted[0])):
		next, err = s.renewCA(held, o.now)
		return next, "new CA after two thirds of the lifetime", err
	case !o.now.Before(renewal(held.leaf.Leaf)):
		next, err = s.renew(held, s.names, o.now)
		return next, "renewal after two thirds of the lifetime", err
	case !s.covered(held.leaf.Leaf):
		// Keep the old names: during an upgrade, other replicas may need them.
		next, err = s.renew(held, union(s.names, namesOf(held.leaf.Leaf)), o.now)
		return next, "renewal for other names", err
	case len(held.trusted) > 1 && !o.now.Before(s.overlapEnd(held)):
		return &state{trusted: held.trusted[:1], key: held.key, leaf: held.leaf}, "removal of the old CA", nil
	}
	return nil, "", nil
}

// nextChange returns when the next step is due if nothing else changes.
func (s *spec) nextChange(held *state) time.Time {
	if !held.settled() {
		return held.leaf.Leaf.NotAfter
	}
	times := []time.Time{renewal(held.trusted[0]), renewal(held.leaf.Leaf)}
	if len(held.trusted) > 1 {
		times = append(times, s.overlapEnd(held))
	}
	return slices.MinFunc(times, time.Time.Compare)
}

// overlapEnd returns when the old CAs of a settled state can be removed.
func (s *spec) overlapEnd(held *state) time.Time { return issuedAt(held.leaf.Leaf).Add(s.overlap()) }

// first issues a CA and a certificate.
func (s *spec) first(now time.Time) (*state, error) {
	ca, err := newAuthority(now, s.caLifetime)
	if err != nil {
		return nil, err
	}
	return s.renew(&state{trusted: []*x509.Certificate{ca.certificate}, key: ca.key}, s.names, now)
}

// renewCA adds a new CA to the trusted ones. The certificate stays.
func (s *spec) renewCA(held *state, now time.Time) (*state, error) {
	ca, err := newAuthority(now, s.caLifetime)
	if err != nil {
		return nil, err
	}
	others := held.trusted
	if !held.settled() {
		others = others[1:] // the first has not signed yet
	}
	others = others[:min(len(others), maxTrusted-1)]
	return &state{
		trusted: append([]*x509.Certificate{ca.certificate}, others...),
		key:     ca.key,
		leaf:    held.leaf,
		by:      max(1, held.by),
	}, nil
}

// renew issues a certificate for these names.
func (s *spec) renew(held *state, names []string, now time.Time) (*state, error) {
	leaf, err := held.signer().issue(now, s.lifetime, names)
	if err != nil {
		return nil, err
	}
	return &state{trusted: held.trusted, key: held.key, leaf: leaf}, nil
}

// covered reports whether a certificate has all names.
func (s *spec) covered(leaf *x509.Certificate) bool {
	has := namesOf(leaf)
	return !slices.ContainsFunc(s.names, func(name string) bool { return !slices.Contains(has, name) })
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
