package pki_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s-sidecar-injector/pki"
)

// deployment is a Secret and replicas whose clocks differ.
type deployment struct {
	*testing.T
	skews                []time.Duration
	lifetime, caLifetime time.Duration
	random               *rand.Rand

	data   map[string][]byte
	cas    map[string]bool
	writes int
}

// converge runs the replicas in random order until none of them writes.
func (d *deployment) converge(now time.Time) {
	d.Helper()
	for range 8 {
		wrote := false
		for _, i := range d.random.Perm(len(d.skews)) {
			wrote = d.step(now.Add(d.skews[i]), true) || wrote
		}
		if !wrote {
			return
		}
	}
	d.Fatalf("at %s the replicas still overwrite each other", now)
}

// step runs one replica and reports whether it wrote.
func (d *deployment) step(now time.Time, propagated bool) bool {
	d.Helper()
	next, err := pki.Next(d.data, now, propagated, d.lifetime, d.caLifetime)
	must(d.T, err)
	if next == nil {
		return false
	}
	d.data = next
	d.cas[decode(d.T, next["ca.crt"]).SerialNumber.String()] = true
	d.writes++
	return true
}

// Replicas whose clocks differ by up to 20 minutes converge at any time. They accept each other's certificates:
// there are no more CAs than with a single clock.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	const maxSkew = 10 * time.Minute
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		skew := func() time.Duration { return time.Duration(random.Int64N(int64(2*maxSkew))) - maxSkew }
		d := &deployment{T: t, random: random, skews: []time.Duration{maxSkew, -maxSkew, skew()}, cas: make(map[string]bool)}
		d.lifetime = []time.Duration{10 * time.Second, 10 * time.Minute, 90 * time.Hour, 90 * 24 * time.Hour}[seed%4]
		d.caLifetime = d.lifetime * time.Duration(3+random.IntN(10))
		start := time.Now()
		now := start
		for now.Before(start.Add(2 * d.caLifetime)) {
			d.step(now.Add(d.skews[random.IntN(len(d.skews))]), random.IntN(2) == 0)
			d.converge(now)
			now = now.Add(time.Duration(random.Int64N(int64(d.lifetime / 2))))
		}
		// A CA is replaced after 2/3 of its lifetime: at most 1 + 3 in twice a lifetime.
		if d.lifetime > time.Hour && len(d.cas) > 4 {
			t.Errorf("%s: %d CAs and %d writes with clocks apart by %v", d.lifetime, len(d.cas), d.writes, d.skews)
		}
	}
}

// A new certificate is usable for a replica whose clock is behind, but not long before it becomes valid.
func TestNotYetValid(t *testing.T) {
	t.Parallel()
	now := time.Now()
	data, err := pki.Next(nil, now, false, lifetime, caLife)
	must(t, err)
	for behind, usable := range map[time.Duration]bool{
		0: true, 10 * time.Minute: true, -10 * time.Minute: true, 90 * time.Minute: true, 24 * time.Hour: false,
	} {
		t.Run(fmt.Sprintf("behind by %s", behind), func(t *testing.T) {
			t.Parallel()
			bundle, err := pki.Decode(data, now.Add(-behind))
			if (err == nil) != usable || (bundle != nil) != usable {
				t.Errorf("usable: %v (%v), want %v", err == nil, err, usable)
			}
		})
	}
}
