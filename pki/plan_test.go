package pki_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s-sidecar-injector/pki"
)

// fleet is a Secret and replicas whose clocks differ.
type fleet struct {
	*testing.T
	skews                []time.Duration
	lifetime, caLifetime time.Duration
	random               *rand.Rand

	data   map[string][]byte
	cas    map[string]bool
	writes int
}

// settle runs the replicas in random order until none of them writes.
func (f *fleet) settle(now time.Time) {
	f.Helper()
	for range 8 {
		wrote := false
		for _, i := range f.random.Perm(len(f.skews)) {
			wrote = f.step(now.Add(f.skews[i]), true) || wrote
		}
		if !wrote {
			return
		}
	}
	f.Fatalf("at %s the replicas still overwrite each other's certificates", now)
}

// step runs one replica and reports whether it wrote.
func (f *fleet) step(now time.Time, spread bool) bool {
	f.Helper()
	next, err := pki.Next(f.data, now, spread, f.lifetime, f.caLifetime)
	must(f.T, err)
	if next == nil {
		return false
	}
	f.data = next
	f.cas[decode(f.T, next["ca.crt"]).SerialNumber.String()] = true
	f.writes++
	return true
}

// Replicas whose clocks are up to 10 minutes off reach a fixed point at any time. They accept each
// other's certificates: there are no more CAs than with a single clock.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	const most = 10 * time.Minute
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		skew := func() time.Duration { return time.Duration(random.Int64N(int64(2*most))) - most }
		f := &fleet{T: t, random: random, skews: []time.Duration{most, -most, skew()}, cas: make(map[string]bool)}
		f.lifetime = []time.Duration{10 * time.Second, 10 * time.Minute, 90 * time.Hour, 90 * 24 * time.Hour}[seed%4]
		f.caLifetime = f.lifetime * time.Duration(3+random.IntN(10))
		start := time.Now()
		now := start
		for now.Before(start.Add(2 * f.caLifetime)) {
			f.step(now.Add(f.skews[random.IntN(len(f.skews))]), random.IntN(2) == 0)
			f.settle(now)
			now = now.Add(time.Duration(random.Int64N(int64(f.lifetime / 2))))
		}
		// At 2/3 of each CA's lifetime comes the next: at most 1 + 3 in twice a lifetime.
		if f.lifetime > time.Hour && len(f.cas) > 4 {
			t.Errorf("%s: %d CAs and %d writes with clocks apart by %v", f.lifetime, len(f.cas), f.writes, f.skews)
		}
	}
}

// A certificate that another replica has just issued is usable for a replica whose clock is behind,
// and no certificate is usable long before it becomes valid.
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
