package watcher_test

import (
	"crypto/x509"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s-sidecar-injector/watcher"
)

const (
	soon    = "the certificate in service expires soon"
	expired = "the certificate in service has expired"
)

// valid sets the validity period of a certificate, relative to now.
func valid(from, to time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to) }
}

// A pair that clients refuse must not replace a valid one.
func TestPairThatClientsRefuse(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	// The chain of lower has only its own certificate: the file is leaf, lower, middle.
	withMiddle := func(change ...func(*x509.Certificate)) func(*testing.T, *testCertWatcher) {
		return func(t *testing.T, s *testCertWatcher) {
			t.Helper()
			middle := new(issuer).ca(t, "root").ca(t, "middle", change...)
			pair := middle.ca(t, "lower").issue(t, "two")
			pair.cert += middle.chain
			s.put(t, pair)
		}
	}
	forClients := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	const middle = `the intermediate certificate "CN=middle" `
	unnamed := func(c *x509.Certificate) { c.DNSNames = nil }
	wantAllKept(t, map[string]corruption{
		"an expired intermediate":        {withMiddle(valid(-2*day, -time.Minute)), middle + "expired at "},
		"an intermediate of tomorrow":    {withMiddle(valid(day, 2*day)), middle + "is not valid before "},
		"an intermediate for clients":    {withMiddle(forClients), middle + "is not for servers"},
		"a certificate for clients":      {reissue(forClients), "the certificate is not for servers"},
		"a certificate without any name": {reissue(unnamed), "the certificate has no DNS name or IP address"},
		"a large certificate": {reissue(func(c *x509.Certificate) {
			for n := range 4000 {
				c.DNSNames = append(c.DNSNames, "name"+strconv.Itoa(n)+".example.com")
			}
		}), "the certificate and its chain have "},
		"a large chain": {func(t *testing.T, s *testCertWatcher) {
			t.Helper()
			pair := issue(t, "two")
			pair.cert = strings.Repeat(pair.cert, 300)
			s.put(t, pair)
		}, "the certificate and its chain have "},
	})
}

// Certificates that are not on the path to the root are ignored, and the order does not matter.
func TestChainWithOtherCertificates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root := new(issuer).ca(t, "root", valid(-48*time.Hour, -time.Hour))
		middle := root.ca(t, "middle", valid(-time.Hour, time.Hour))
		lower := middle.ca(t, "lower", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
		})
		pair := lower.issue(t, "one", valid(time.Minute*30, time.Hour))
		other := new(issuer).ca(t, "other root").ca(t, "other", valid(-48*time.Hour, -time.Hour))
		pair.cert += other.chain + root.chain + middle.chain
		s := newPollingCertWatcher(t)
		s.put(t, pair)
		s.run(t)
		s.wantServed(t, "one")
	})
}

// startExpiry runs an Expiry of a certificate.
func startExpiry(t *testing.T, pair keyPairPEM) (*testCertWatcher, *watcher.Expiry) {
	t.Helper()
	s := newPollingCertWatcher(t)
	s.Watching.Poll = time.Hour
	s.put(t, pair)
	expiry := watcher.NewExpiry(s.GetCertificate, s.log.logger())
	background(t, expiry.Run)
	s.run(t)
	return s, expiry
}

// A warning is logged seven days before expiry and an error after it, once a day. Readiness fails from
// expiry until a new certificate is loaded.
func TestExpiryIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		s, expiry := startExpiry(t, issue(t, "one", valid(-82*day, 8*day)))
		if leaf, notAfter := expiry.Certificate(); leaf.Subject.CommonName != "one" ||
			time.Until(notAfter).Round(time.Hour) != 8*day {
			t.Errorf("the certificate is that of %s until %s", leaf.Subject, notAfter)
		}
		advance(23 * time.Hour)
		s.log.wantLines(t, soon, 0)
		advance(time.Hour + time.Minute)
		line := s.log.wantLines(t, soon, 1)[0]
		if line["level"] != "warn" || line["not_after"] == nil {
			t.Errorf("logged %v", line)
		}
		advance(day)
		s.log.wantLines(t, soon, 2)
		advance(5*day + 23*time.Hour)
		s.log.wantLines(t, expired, 0)
		wantPending(t, expiry.Pending())
		advance(2 * time.Hour)
		if line := s.log.wantLines(t, expired, 1)[0]; line["level"] != "error" {
			t.Errorf("logged %v", line)
		}
		if pending := fmt.Sprint(expiry.Pending()); !strings.HasPrefix(pending, "[the certificate in service expired at ") {
			t.Errorf("pending is %s", pending)
		}
		s.log.wantLines(t, "certificate not loaded", 0) // it was valid when it was loaded
		s.put(t, issue(t, "two", valid(0, 90*day)))
		s.reload(t, "")
		s.wantServed(t, "two")
		wantPending(t, expiry.Pending())
		advance(2 * day)
		s.log.wantLines(t, expired, 1)
	})
}

// The notice is shorter for a short lifetime. An intermediate may expire first.
func TestExpiryOfShortLifetime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		middle := new(issuer).ca(t, "root").ca(t, "middle", valid(-48*time.Hour, 40*time.Minute))
		s, expiry := startExpiry(t, middle.issue(t, "one", valid(0, 50*time.Minute)))
		advance(29 * time.Minute)
		s.log.wantLines(t, soon, 0)
		advance(2 * time.Minute)
		s.log.wantLines(t, soon, 1)
		advance(10 * time.Minute)
		s.log.wantLines(t, expired, 1)
		if expiry.Pending() == nil {
			t.Error("nothing is pending")
		}
	})
}

func TestExpiryWithinSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := startExpiry(t, issue(t, "one", valid(0, 25*time.Second)))
		advance(18 * time.Second)
		s.log.wantLines(t, soon, 0)
		advance(2 * time.Second)
		s.log.wantLines(t, soon, 1)
		s.log.wantLines(t, expired, 0)
		advance(5 * time.Second)
		s.log.wantLines(t, expired, 1)
	})
}

// SIGHUP logs the state again, unless the reload loaded a better certificate.
func TestExpiryIsLoggedOnReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, expiry := startExpiry(t, issue(t, "one", valid(-time.Hour, time.Minute)))
		reload := func() {
			s.reload(t, "")
			expiry.Reload()
			advance(2 * time.Second)
		}
		advance(20 * time.Second)
		s.log.wantLines(t, soon, 1)
		reload()
		s.log.wantLines(t, soon, 2)
		advance(time.Minute)
		s.log.wantLines(t, expired, 1)
		reload()
		s.log.wantLines(t, expired, 2)
		s.put(t, issue(t, "two"))
		reload()
		s.wantServed(t, "two")
		s.log.wantLines(t, expired, 2)
	})
}

func TestExpiryWithoutCertificate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPollingCertWatcher(t)
		expiry := watcher.NewExpiry(s.GetCertificate, s.log.logger())
		background(t, expiry.Run)
		expiry.Reload()
		advance(time.Minute)
		wantPending(t, expiry.Pending())
		if leaf, _ := expiry.Certificate(); leaf != nil {
			t.Errorf("the certificate is that of %s", leaf.Subject)
		}
		if text := s.log.String(); text != "" {
			t.Errorf("logged %s", text)
		}
	})
}
