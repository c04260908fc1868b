package watcher

import (
	"cmp"
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
	"k8s.io/apimachinery/pkg/util/sets"
)

var errNotRead = errors.New("not read yet")

// CertWatcher serves a certificate and key from two files, and reloads them when they change. Make it with
// NewCertWatcher. All methods are safe for concurrent use; Run is called once.
type CertWatcher struct {
	// Watching may be set before Run.
	Watching Watching

	certFile, keyFile string
	log               zerolog.Logger
	observe           func(ok bool, notAfter time.Time)
	debouncer         debouncer
	current           atomic.Pointer[tls.Certificate]

	// last belongs to the goroutine of Run.
	last attempt

	// mu guards err, the error of the latest attempt.
	mu  sync.Mutex
	err error
}

// attempt is one read of both files and its result.
type attempt struct {
	made    bool
	content [sha256.Size]byte
	failure string
}

// NewCertWatcher returns a watcher of two PEM files. It reads nothing before Run.
//
// Observe is called from one goroutine after each new content or new error. ok reports whether the pair
// was loaded, and notAfter is the expiry of the pair in service, zero if there is none. Optional.
func NewCertWatcher(
	certFile, keyFile string, log zerolog.Logger, observe func(ok bool, notAfter time.Time),
) *CertWatcher {
	return &CertWatcher{certFile: certFile, keyFile: keyFile, log: log, observe: observe, debouncer: newDebouncer()}
}

// Run loads the pair at once, and again after each change, at each poll and on Reload, until ctx ends;
// then it returns nil. It logs an invalid pair, and the previous one stays in service.
func (c *CertWatcher) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	files := fsWatcher{
		watching: c.Watching, log: c.log, directories: c.directories, wake: make(chan struct{}, 1),
	}
	group.Go(func() error { return files.Run(ctx, c.debouncer.later) })
	group.Go(func() error {
		c.debouncer.run(ctx, c.load)
		return nil
	})
	return group.Wait()
}

// Reload requests a reload without delay, as on SIGHUP, and does not wait for it. Several calls before it
// begins are one.
func (c *CertWatcher) Reload() {
	c.debouncer.now()
}

// GetCertificate returns the pair in service, for tls.Config.GetCertificate. It takes no lock. Before the
// first pair is loaded, the error is the reason.
func (c *CertWatcher) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if certificate := c.current.Load(); certificate != nil {
		return certificate, nil
	}
	return nil, fmt.Errorf("no certificate is loaded yet: %w", c.lastErr())
}

// Pending returns why no pair is loaded yet. After the first pair, it returns nil.
func (c *CertWatcher) Pending() []string {
	if c.current.Load() != nil {
		return nil
	}
	return []string{fmt.Sprintf("certificate %s, key %s: %v", c.certFile, c.keyFile, c.lastErr())}
}

// lastErr returns the latest error, or that the files were not read.
func (c *CertWatcher) lastErr() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.err, errNotRead)
}

// directories returns the directories of both files, and of their targets if they are symbolic links.
func (c *CertWatcher) directories() sets.Set[string] {
	found := sets.New(filepath.Dir(c.certFile), filepath.Dir(c.keyFile))
	for _, name := range []string{c.certFile, c.keyFile} {
		if target, err := filepath.EvalSymlinks(name); err == nil {
			found.Insert(filepath.Dir(target))
		}
	}
	return found
}

// load loads the files. An explicit reload always logs its result.
func (c *CertWatcher) load(explicit bool) {
	content, pair, err := c.read()
	next := attempt{made: true, content: content}
	if err != nil {
		next.failure = err.Error()
	}
	if next == c.last {
		if explicit {
			c.logUnchanged(err)
		}
		return
	}
	newErr := next.failure != c.last.failure
	c.last = next
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	switch {
	case err == nil:
		c.current.Store(pair)
		logLoaded(c.log, c.certFile, pair.Leaf)
	case newErr:
		c.logErr(err)
	}
	c.report(err == nil)
}

// read reads and parses both files. The pair is nil without an error if its content is in service.
func (c *CertWatcher) read() (content [sha256.Size]byte, pair *tls.Certificate, err error) {
	certPEM, err := readPEM("certificate", c.certFile)
	if err != nil {
		return content, nil, err
	}
	keyPEM, err := readPEM("key", c.keyFile)
	if err != nil {
		return content, nil, err
	}
	// A hash, because the key is not kept longer than the TLS stack needs it.
	sum := sha256.New()
	fmt.Fprintf(sum, "%d\n", len(certPEM))
	sum.Write(certPEM)
	sum.Write(keyPEM)
	content = [sha256.Size]byte(sum.Sum(nil))
	if c.last.made && c.last.failure == "" && content == c.last.content {
		return content, nil, nil
	}
	pair, err = parsePair(certPEM, keyPEM, time.Now())
	if err == nil && !hasNames(pair.Leaf) && c.servesNames() {
		// At the start, such a pair is served with a warning, for clients that do not verify it.
		err = errors.New("the certificate has no DNS name or IP address as subject alternative name, " +
			"unlike the one in service")
	}
	return content, pair, err
}

func (c *CertWatcher) servesNames() bool {
	certificate := c.current.Load()
	return certificate != nil && hasNames(certificate.Leaf)
}

func (c *CertWatcher) logErr(err error) {
	event := c.log.Error().Err(err).Str("certificate", c.certFile).Str("key", c.keyFile)
	if c.current.Load() == nil {
		event.Msg("certificate not loaded; clients cannot connect")
		return
	}
	event.Msg("certificate not loaded; the previous certificate stays in service")
}

func (c *CertWatcher) logUnchanged(err error) {
	if err != nil {
		c.logErr(err)
		return
	}
	c.log.Info().Str("certificate", c.certFile).Msg("certificate reloaded, no changes")
}

func (c *CertWatcher) report(ok bool) {
	if c.observe == nil {
		return
	}
	var notAfter time.Time
	if certificate := c.current.Load(); certificate != nil {
		_, notAfter = lifetimeOf(certificate, time.Now())
	}
	c.observe(ok, notAfter)
}
