package watcher

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/rs/zerolog"
)

const (
	// expiryPoll is how often the certificate in service is checked.
	expiryPoll = 10 * time.Second
	// expiryRepeat is how often a warning is repeated.
	expiryRepeat = 24 * time.Hour
	// maxNotice is how long before expiry warnings begin. If the lifetime is less than 35 days, a fifth of it
	// is used instead: controllers such as cert-manager have renewed the certificate by then.
	maxNotice = 7 * 24 * time.Hour
	// reloadTime is the delay of a check after a reload is requested, so that it sees the new certificate.
	reloadTime = time.Second
)

// Expiry warns before the certificate in service expires, and fails readiness afterwards. Make it with
// NewExpiry. All methods are safe for concurrent use; Run is called once.
type Expiry struct {
	certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	log         zerolog.Logger
	reload      chan struct{}
}

// NewExpiry returns a check of the certificate that a function like tls.Config.GetCertificate returns.
func NewExpiry(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), log zerolog.Logger) *Expiry {
	return &Expiry{certificate: certificate, log: log, reload: make(chan struct{}, 1)}
}

// expiryState describes the expiry of the certificate in service.
type expiryState struct {
	level    zerolog.Level // error if it has expired, warn if it expires soon, otherwise disabled
	notAfter time.Time
}

// state returns the state of the certificate in service, and the delay until the next check.
func (e *Expiry) state() (state expiryState, wait time.Duration) {
	pair, err := e.certificate(&tls.ClientHelloInfo{})
	if err != nil {
		return expiryState{level: zerolog.Disabled}, expiryPoll
	}
	now := time.Now()
	lifetime, notAfter := lifetimeOf(pair, now)
	left, notice := notAfter.Sub(now), min(maxNotice, lifetime/5)
	switch {
	case left < 0:
		return expiryState{zerolog.ErrorLevel, notAfter}, expiryPoll
	case left < notice:
		return expiryState{zerolog.WarnLevel, notAfter}, min(expiryPoll, left+time.Millisecond)
	}
	return expiryState{zerolog.Disabled, notAfter}, min(expiryPoll, left-notice+time.Millisecond)
}

// Certificate returns the leaf of the certificate in service, and the earliest expiry in its chain. The leaf is nil if
// there is no certificate yet.
func (e *Expiry) Certificate() (leaf *x509.Certificate, notAfter time.Time) {
	pair, err := e.certificate(&tls.ClientHelloInfo{})
	if err != nil {
		return nil, time.Time{}
	}
	now := time.Now()
	chain, err := parseChain(pair, now)
	if err != nil {
		return nil, time.Time{}
	}
	_, notAfter = lifetimeOf(pair, now)
	return chain[0], notAfter
}

// Pending returns a reason if the certificate has expired: clients refuse it, but another replica may
// have a valid one.
func (e *Expiry) Pending() []string {
	if s, _ := e.state(); s.level == zerolog.ErrorLevel {
		return []string{fmt.Sprintf("the certificate in service expired at %s", s.notAfter.Format(time.RFC3339))}
	}
	return nil
}

// Reload logs the state again, as on SIGHUP. It does not wait.
func (e *Expiry) Reload() { notify(e.reload) }

// Run logs a warning before the certificate expires and an error afterwards, each once a day, until
// ctx ends; then it returns nil.
func (e *Expiry) Run(ctx context.Context) error {
	var last expiryState
	var logged time.Time
	for wait := reloadTime; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-e.reload:
			wait, logged = reloadTime, time.Time{}
			continue
		case <-time.After(wait):
		}
		var state expiryState
		state, wait = e.state()
		if state != last || time.Since(logged) >= expiryRepeat {
			message := "the certificate in service expires soon: renew it"
			if state.level == zerolog.ErrorLevel {
				message = "the certificate in service has expired: clients refuse it; renew it"
			}
			e.log.WithLevel(state.level).Time("not_after", state.notAfter).Msg(message)
			last, logged = state, time.Now()
		}
	}
}
