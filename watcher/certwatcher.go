package watcher

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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
	state             atomic.Pointer[certState]
}

// certState is the result of the latest load.
type certState struct {
	pair     *tls.Certificate // in service; nil if there is none
	notAfter time.Time        // of the pair
	err      error
}

// NewCertWatcher returns a watcher of two PEM files. It reads nothing before Run.
//
// Observe is called from one goroutine after each new pair and each failed load. ok reports whether the pair
// was loaded, and notAfter is the expiry of the pair in service, zero if there is none.
func NewCertWatcher(
	certFile, keyFile string, log zerolog.Logger, observe func(ok bool, notAfter time.Time),
) *CertWatcher {
	c := &CertWatcher{certFile: certFile, keyFile: keyFile, log: log, observe: observe, debouncer: newDebouncer()}
	c.state.Store(&certState{err: errNotRead})
	return c
}

// Run loads the pair at once, and again after each change, at each poll and on Reload, until ctx ends;
// then it returns nil. It logs an invalid pair, and the previous one stays in service.
func (c *CertWatcher) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	files := fsWatcher{
		watching: c.Watching, log: c.log, directories: c.directories, wake: make(chan struct{}, 1),
	}
	group.Go(func() error { return files.Run(ctx, c.debouncer.schedule) })
	c.debouncer.run(ctx, c.load)
	return group.Wait()
}

// Reload loads the pair without delay, as on SIGHUP, and waits. It returns why the files are invalid, or the
// error of ctx. Run must have been called.
func (c *CertWatcher) Reload(ctx context.Context) error { return c.debouncer.runNow(ctx) }

// GetCertificate returns the pair in service, for tls.Config.GetCertificate. It takes no lock. Before the
// first pair is loaded, it returns the error of loading.
func (c *CertWatcher) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	state := c.state.Load()
	if state.pair == nil {
		return nil, fmt.Errorf("no certificate is loaded yet: %w", state.err)
	}
	return state.pair, nil
}

// Pending returns why no pair is loaded yet. After the first pair, it returns nil.
func (c *CertWatcher) Pending() []string {
	state := c.state.Load()
	if state.pair != nil {
		return nil
	}
	return []string{fmt.Sprintf("certificate %s, key %s: %v", c.certFile, c.keyFile, state.err)}
}

// Err returns why the latest load failed, nil if it succeeded.
func (c *CertWatcher) Err() error { return c.state.Load().err }

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

// load loads the files. An explicit reload always logs its result. It returns why the pair is invalid.
func (c *CertWatcher) load(explicit bool) error {
	last := c.state.Load()
	pair, err := c.read(last.pair)
	switch {
	case err != nil:
		c.state.Store(&certState{last.pair, last.notAfter, err})
		if explicit || fmt.Sprint(last.err) != err.Error() {
			c.logError(err, last.pair)
		}
		c.observe(false, last.notAfter)
		return fmt.Errorf("certificate %s cannot be loaded: %w", c.certFile, err)
	case pair == last.pair && last.err == nil:
		if explicit {
			c.log.Info().Str("certificate", c.certFile).Msg("certificate reloaded, no changes")
		}
	default:
		_, notAfter := lifetimeOf(pair, time.Now())
		c.state.Store(&certState{pair, notAfter, nil})
		logLoaded(c.log, c.certFile, pair.Leaf)
		c.observe(true, notAfter)
	}
	return nil
}

// read reads both files. It returns inService if the files contain it, even if it has expired. Otherwise it returns
// a pair that may replace it, or an error.
func (c *CertWatcher) read(inService *tls.Certificate) (*tls.Certificate, error) {
	certPEM, err := readPEM("certificate", c.certFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := readPEM("key", c.keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := parsePair(certPEM, keyPEM, time.Now())
	switch {
	case pair == nil || inService == nil:
	case slices.EqualFunc(pair.Certificate, inService.Certificate, bytes.Equal):
		return inService, nil
	case err == nil && !hasNames(pair.Leaf) && hasNames(inService.Leaf):
		// As the first pair, it would be served with a warning, for clients that do not verify names.
		err = errors.New("the certificate has no DNS name or IP address as subject alternative name, " +
			"unlike the one in service")
	}
	return pair, err
}

func (c *CertWatcher) logError(err error, inService *tls.Certificate) {
	message := "certificate not loaded; the previous certificate stays in service"
	if inService == nil {
		message = "certificate not loaded; clients cannot connect"
	}
	c.log.Error().Err(err).Str("certificate", c.certFile).Str("key", c.keyFile).Msg(message)
}
