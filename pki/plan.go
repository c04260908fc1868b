package pki

import (
	"crypto/x509"
	"slices"
	"time"
)

const (
	// mostOverlap is how long a CA is trusted after the last certificate that it signed was
	// replaced: time for every replica to take the new one up, even one that cannot reach the
	// API server for a while.
	mostOverlap = 24 * time.Hour
	// mostSpread is how long API servers may take to learn of a new caBundle.
	mostSpread = time.Minute
	// mostTrusted bounds the bundle, should somebody delete the Secret over and over.
	mostTrusted = 8
)

// wish is how the certificates should be.
type wish struct {
	names      []string // DNS names and IP addresses, sorted
	lifetime   time.Duration
	caLifetime time.Duration
}

// overlap and spread are shorter where certificates live for less than days.
func (w *wish) overlap() time.Duration { return min(mostOverlap, w.lifetime/3) }
func (w *wish) spread() time.Duration  { return min(mostSpread, w.lifetime/15) }

// circumstances are what the next state depends on beside what the Secret holds.
type circumstances struct {
	now time.Time
	// spread tells that all API servers trust the bundle that the Secret holds.
	spread bool
	// last is the state that was served last, nil if there was none.
	last *state
}

// next gives the state that should follow the one that the Secret holds, and why; nil means that
// nothing is to be done now. The state held is nil if the Secret cannot be used.
func (w *wish) next(held *state, c circumstances) (next *state, why string, err error) {
	switch {
	case held == nil && c.last != nil && c.now.Before(c.last.leaf.Leaf.NotAfter):
		// What is served stays trusted and in service, while the new CA is spread.
		next, err = w.renewCA(c.last, c.now)
		return next, "made anew", err
	case held == nil:
		next, err = w.fresh(c.now)
		return next, "made", err
	case !held.settled() && (c.spread || !c.now.Before(held.leaf.Leaf.NotAfter)):
		next, err = w.renew(held, w.names, c.now)
		return next, "the new CA is trusted now: it signs the certificate", err
	case !held.settled():
		return nil, "", nil
	case !c.now.Before(renewal(held.trusted[0])):
		next, err = w.renewCA(held, c.now)
		return next, "two thirds of the CA's life are over: a new one is to be trusted beside it", err
	case !c.now.Before(renewal(held.leaf.Leaf)):
		next, err = w.renew(held, w.names, c.now)
		return next, "two thirds of the certificate's life are over", err
	case !w.covered(held.leaf.Leaf):
		// Replicas that want other names may run at the same time, during an upgrade.
		next, err = w.renew(held, union(w.names, namesOf(held.leaf.Leaf)), c.now)
		return next, "the certificate lacks a name", err
	case len(held.trusted) > 1 && !c.now.Before(w.overlapEnd(held)):
		return &state{trusted: held.trusted[:1], key: held.key, leaf: held.leaf}, "the old CA is not needed any more", nil
	}
	return nil, "", nil
}

// until is when next may give something else, without any other change.
func (w *wish) until(held *state) time.Time {
	if !held.settled() {
		return held.leaf.Leaf.NotAfter
	}
	times := []time.Time{renewal(held.trusted[0]), renewal(held.leaf.Leaf)}
	if len(held.trusted) > 1 {
		times = append(times, w.overlapEnd(held))
	}
	return slices.MinFunc(times, time.Time.Compare)
}

// overlapEnd is when the old CAs of a settled state are not needed any more.
func (w *wish) overlapEnd(s *state) time.Time { return issuedAt(s.leaf.Leaf).Add(w.overlap()) }

// fresh makes everything.
func (w *wish) fresh(now time.Time) (*state, error) {
	ca, err := newAuthority(now, w.caLifetime)
	if err != nil {
		return nil, err
	}
	return w.renew(&state{trusted: []*x509.Certificate{ca.certificate}, key: ca.key}, w.names, now)
}

// renewCA makes a new CA, beside those that are trusted. The certificate stays.
func (w *wish) renewCA(s *state, now time.Time) (*state, error) {
	ca, err := newAuthority(now, w.caLifetime)
	if err != nil {
		return nil, err
	}
	others := s.trusted
	if !s.settled() {
		others = others[1:] // the first has not signed yet
	}
	others = others[:min(len(others), mostTrusted-1)]
	return &state{
		trusted: append([]*x509.Certificate{ca.certificate}, others...),
		key:     ca.key,
		leaf:    s.leaf,
		by:      max(1, s.by),
	}, nil
}

// renew makes a new certificate for these names.
func (w *wish) renew(s *state, names []string, now time.Time) (*state, error) {
	leaf, err := s.signer().issue(now, w.lifetime, names)
	if err != nil {
		return nil, err
	}
	return &state{trusted: s.trusted, key: s.key, leaf: leaf}, nil
}

// covered tells whether a certificate has all names.
func (w *wish) covered(leaf *x509.Certificate) bool {
	has := namesOf(leaf)
	return !slices.ContainsFunc(w.names, func(name string) bool { return !slices.Contains(has, name) })
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
