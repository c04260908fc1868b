package watcher

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
)

// KeyPair serves a certificate and its key from two files, and follows their rotation. Make
// it with NewKeyPair. All methods are safe for concurrent use; Run is called once.
type KeyPair struct {
	// Watching may be set before Run.
	Watching Watching

	certFile, keyFile string
	log               zerolog.Logger
	observe           func(ok bool, notAfter time.Time)
	trigger           trigger
	current           atomic.Pointer[tls.Certificate]

	// last belongs to the goroutine of Run.
	last attempt

	// mu guards failure: why the latest attempt failed, nil when it did not.
	mu      sync.Mutex
	failure error
}

// attempt is one reading of both files and what came of it.
type attempt struct {
	made    bool
	content [sha256.Size]byte
	failure string
}

// NewKeyPair makes a key pair of two PEM files. Nothing is read before Run.
//
// Observe may be nil. It is called, from one goroutine, each time new bytes or a new error
// were met: ok tells whether the pair was taken, and notAfter is when the pair that is now
// in service expires, or the zero time when there is none.
func NewKeyPair(certFile, keyFile string, log zerolog.Logger, observe func(ok bool, notAfter time.Time)) *KeyPair {
	return &KeyPair{certFile: certFile, keyFile: keyFile, log: log, observe: observe, trigger: newTrigger()}
}

// Run loads the pair at once, and again after each change, at each poll and on Reload, until
// ctx ends; then it returns nil. A pair that cannot be read, does not match or is not valid
// now is logged and the one before stays in service.
func (k *KeyPair) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	n := newNotifier(k.Watching, k.log, k.directories)
	group.Go(func() error { return n.Run(ctx, k.trigger.event) })
	group.Go(func() error {
		for ordered, ok := false, true; ok; ordered, ok = k.trigger.wait(ctx) {
			k.load(ordered)
		}
		return nil
	})
	return group.Wait()
}

// Reload asks for the files to be read again at once, as on SIGHUP, and does not wait for
// it. Several calls before it begins are one.
func (k *KeyPair) Reload() {
	k.trigger.order()
}

// GetCertificate gives the pair in service, as tls.Config.GetCertificate. It takes no lock.
// Before the first pair is loaded it gives an error that says why there is none.
func (k *KeyPair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if certificate := k.current.Load(); certificate != nil {
		return certificate, nil
	}
	return nil, fmt.Errorf("no certificate is loaded yet: %w", k.why())
}

// Pending gives the reason why no pair is loaded yet. It is empty once one was, and stays so.
func (k *KeyPair) Pending() []string {
	if k.current.Load() != nil {
		return nil
	}
	return []string{fmt.Sprintf("certificate %s, key %s: %v", k.certFile, k.keyFile, k.why())}
}

// why is the latest failure, never nil.
func (k *KeyPair) why() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failure == nil {
		return errNotTried
	}
	return k.failure
}

// directories gives those of both files, and of what they are links to.
func (k *KeyPair) directories() []string {
	var found []string
	for _, name := range []string{k.certFile, k.keyFile} {
		found = append(found, filepath.Dir(name))
		if target, err := filepath.EvalSymlinks(name); err == nil {
			found = append(found, filepath.Dir(target))
		}
	}
	return found
}

// load tries the files as they are now. Who ordered it is told the result also where nothing
// changed.
func (k *KeyPair) load(ordered bool) {
	content, certificate, err := k.try()
	next := attempt{made: true, content: content}
	if err != nil {
		next.failure = err.Error()
	}
	if next == k.last {
		if ordered {
			k.repeat(err)
		}
		return
	}
	news := next.failure != k.last.failure
	k.last = next
	k.remember(err)
	if err != nil {
		k.refuse(err, news)
		return
	}
	k.accept(certificate)
}

// try reads both files. The pair is nil, without an error, when its bytes are those in
// service already.
func (k *KeyPair) try() (content [sha256.Size]byte, pair *tls.Certificate, err error) {
	certPEM, err := readPEM("certificate", k.certFile)
	if err != nil {
		return content, nil, err
	}
	keyPEM, err := readPEM("key", k.keyFile)
	if err != nil {
		return content, nil, err
	}
	// The key itself is not kept longer than the TLS stack needs it.
	sum := sha256.New()
	fmt.Fprintf(sum, "%d\n", len(certPEM))
	sum.Write(certPEM)
	sum.Write(keyPEM)
	content = [sha256.Size]byte(sum.Sum(nil))
	if k.last.made && k.last.failure == "" && content == k.last.content {
		return content, nil, nil
	}
	pair, err = parsePair(certPEM, keyPEM, time.Now())
	if err == nil && !hasNames(pair.Leaf) && k.servesNames() {
		// At start, such a pair is served with a warning: it works for clients that do not verify it.
		err = errors.New("the certificate has no DNS name or IP address as subject alternative name, " +
			"unlike the one in service")
	}
	return content, pair, err
}

func (k *KeyPair) servesNames() bool {
	certificate := k.current.Load()
	return certificate != nil && hasNames(certificate.Leaf)
}

func (k *KeyPair) accept(certificate *tls.Certificate) {
	k.current.Store(certificate)
	logLoaded(k.log, k.certFile, certificate.Leaf)
	k.report(true)
}

func (k *KeyPair) refuse(err error, news bool) {
	if news {
		k.complain(err)
	}
	k.report(false)
}

func (k *KeyPair) complain(err error) {
	event := k.log.Error().Err(err).Str("certificate", k.certFile).Str("key", k.keyFile)
	if k.current.Load() == nil {
		event.Msg("certificate not loaded: put a valid pair there; until then no client can connect")
		return
	}
	event.Msg("certificate not loaded: put a valid pair there; the one before stays in service")
}

// repeat says again how things are.
func (k *KeyPair) repeat(err error) {
	if err != nil {
		k.complain(err)
		return
	}
	k.log.Info().Str("certificate", k.certFile).Msg("reloaded: the certificate is what it was")
}

func (k *KeyPair) report(ok bool) {
	if k.observe == nil {
		return
	}
	var notAfter time.Time
	if certificate := k.current.Load(); certificate != nil {
		_, notAfter = lifetimeOf(certificate, time.Now())
	}
	k.observe(ok, notAfter)
}

func (k *KeyPair) remember(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failure = err
}
