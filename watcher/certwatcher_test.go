package watcher_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/watcher"
)

// keyPairPEM is a certificate and its key as PEM.
type keyPairPEM struct{ cert, key string }

// issue returns a self-signed certificate that is valid for an hour, unless changed.
func issue(t *testing.T, name string, change ...func(*x509.Certificate)) keyPairPEM {
	t.Helper()
	return new(issuer).issue(t, name, change...)
}

// issuer is a CA; the zero value issues self-signed certificates.
type issuer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	chain       string // PEM, with its own certificate
}

// ca issues a CA.
func (i *issuer) ca(t *testing.T, name string, change ...func(*x509.Certificate)) *issuer {
	t.Helper()
	pair := i.issue(t, name, append(change, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })...)
	both, err := tls.X509KeyPair([]byte(pair.cert), []byte(pair.key))
	if err != nil {
		t.Fatal(err)
	}
	key, _ := both.PrivateKey.(*ecdsa.PrivateKey)
	return &issuer{both.Leaf, key, pair.cert}
}

// issue returns a certificate followed by its chain.
func (i *issuer) issue(t *testing.T, name string, change ...func(*x509.Certificate)) keyPairPEM {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x1234),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	for _, c := range change {
		c(template)
	}
	parent, signer := i.certificate, i.key
	if parent == nil {
		parent, signer = template, key
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return keyPairPEM{
		cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})) + i.chain,
		key:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	}
}

// testCertWatcher is a CertWatcher of two files in one directory.
type testCertWatcher struct {
	*watcher.CertWatcher
	path string
	log  *logBuffer

	mu      sync.Mutex
	results []result
}

// result is a call of the observer.
type result struct {
	ok     bool
	expiry bool
}

func newTestCertWatcher(t *testing.T, path string) *testCertWatcher {
	t.Helper()
	s := &testCertWatcher{path: path, log: new(logBuffer)}
	s.CertWatcher = watcher.NewCertWatcher(filepath.Join(path, "tls.crt"), filepath.Join(path, "tls.key"), s.log.logger(),
		func(ok bool, notAfter time.Time) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.results = append(s.results, result{ok, !notAfter.IsZero()})
		})
	s.Watching.Poll = noPoll
	return s
}

func (s *testCertWatcher) put(t *testing.T, pair keyPairPEM) {
	t.Helper()
	write(t, pair.cert, s.path, "tls.crt")
	write(t, pair.key, s.path, "tls.key")
}

func (s *testCertWatcher) seen() []result {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]result(nil), s.results...)
}

func (s *testCertWatcher) wantResults(t *testing.T, want ...result) {
	t.Helper()
	if diff := cmp.Diff(want, s.seen(), cmp.AllowUnexported(result{})); diff != "" {
		t.Fatalf("observed (-want +got):\n%s", diff)
	}
}

// name is the subject of the certificate in service.
func (s *testCertWatcher) name() string {
	pair, err := s.GetCertificate(nil)
	if err != nil {
		return err.Error()
	}
	return pair.Leaf.Subject.CommonName
}

func (s *testCertWatcher) wantName(t *testing.T, want string) {
	t.Helper()
	eventually(t, want+" is served", func() bool { return s.name() == want })
}

// newPollingCertWatcher returns a watcher without events, for a synctest bubble.
func newPollingCertWatcher(t *testing.T) *testCertWatcher {
	t.Helper()
	s := newTestCertWatcher(t, t.TempDir())
	s.Watching = watcher.Watching{NewWatcher: noWatcher}
	return s
}

func (s *testCertWatcher) run(t *testing.T) {
	t.Helper()
	background(t, s.Run)
	advance(time.Second)
}

// poll advances the clock to the next poll.
func (s *testCertWatcher) poll() {
	advance(31 * time.Second)
}

// reload calls Reload, and fails unless its error begins with the text; an empty text means no error.
func (s *testCertWatcher) reload(t *testing.T, want string) {
	t.Helper()
	err := s.Reload(t.Context())
	if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
		t.Fatalf("Reload returned %v, want %q", err, want)
	}
}

func (s *testCertWatcher) wantServed(t *testing.T, want string) {
	t.Helper()
	if got := s.name(); got != want {
		t.Fatalf("%s is served, want %s; log:\n%s", got, want, s.log)
	}
}

func TestPairIsLoadedAndLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPollingCertWatcher(t)
		pair := issue(t, "one")
		s.put(t, pair)
		s.run(t)
		s.wantServed(t, "one")
		wantPending(t, s.Pending())
		s.wantResults(t, result{true, true})
		line := s.log.wantLines(t, "certificate loaded", 1)[0]
		if fingerprint, _ := line["fingerprint"].(string); len(fingerprint) != 64 {
			t.Errorf("fingerprint %q", fingerprint)
		}
		delete(line, "fingerprint")
		want := map[string]any{
			"level": "info", "message": "certificate loaded", "certificate": filepath.Join(s.path, "tls.crt"),
			"subject": "CN=one", "dns_names": []any{"one"}, "serial": "1234",
			"not_after": time.Now().Add(time.Hour - time.Second).UTC().Format(time.RFC3339),
		}
		if diff := cmp.Diff(want, line); diff != "" {
			t.Errorf("log line (-want +got):\n%s", diff)
		}
		secret := strings.Split(pair.key, "\n")[1]
		if strings.Contains(s.log.String(), secret) {
			t.Error("the key is in the log")
		}
	})
}

func TestUnchangedPair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPollingCertWatcher(t)
		s.put(t, issue(t, "one"))
		s.run(t)
		before, log := s.seen(), s.log.String()
		served, _ := s.GetCertificate(nil)
		s.poll()
		s.poll()
		if again, _ := s.GetCertificate(nil); again != served {
			t.Error("the same bytes were loaded again")
		}
		s.wantResults(t, before...)
		if got := s.log.String(); got != log {
			t.Errorf("logged %s", strings.TrimPrefix(got, log))
		}
	})
}

// An explicit reload always logs its result.
func TestCertificateReloadAlwaysLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPollingCertWatcher(t)
		s.put(t, issue(t, "one"))
		s.run(t)
		s.reload(t, "")
		s.log.wantLines(t, "certificate reloaded, no changes", 1)
		s.log.wantLines(t, "certificate loaded", 1)
		remove(t, filepath.Join(s.path, "tls.key"))
		s.poll()
		s.reload(t, "certificate "+filepath.Join(s.path, "tls.crt")+" cannot be loaded: reading key")
		s.log.wantLines(t, "certificate not loaded; the previous certificate stays in service", 2)
	})
}

func TestEncryptedKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPollingCertWatcher(t)
		pair := issue(t, "one")
		pair.key = strings.ReplaceAll(pair.key, "PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
		s.put(t, pair)
		s.run(t)
		if got := s.Pending(); len(got) != 1 || !strings.Contains(got[0], "the key is encrypted") {
			t.Errorf("pending: %q", got)
		}
	})
}

// corruption is a way to make a pair invalid, and the resulting error.
type corruption struct {
	corrupt func(t *testing.T, s *testCertWatcher)
	want    string
}

// put replaces a file.
func put(name, content string) func(*testing.T, *testCertWatcher) {
	return func(t *testing.T, s *testCertWatcher) {
		t.Helper()
		write(t, content, s.path, name)
	}
}

// reissue replaces the pair by one with a changed certificate.
func reissue(change func(*x509.Certificate)) func(*testing.T, *testCertWatcher) {
	return func(t *testing.T, s *testCertWatcher) {
		t.Helper()
		s.put(t, issue(t, "two", change))
	}
}

// wantKept checks that the old pair stays in service, and that the next valid one is loaded.
func wantKept(t *testing.T, test corruption) {
	t.Helper()
	s := newPollingCertWatcher(t)
	s.put(t, issue(t, "one"))
	s.run(t)
	test.corrupt(t, s)
	s.poll()
	s.poll()
	s.wantServed(t, "one")
	wantPending(t, s.Pending())
	s.wantResults(t, result{true, true}, result{false, true}, result{false, true})
	line := s.log.wantLines(t, "certificate not loaded", 1)[0]
	text, _ := line["error"].(string)
	if want := strings.ReplaceAll(test.want, "PATH", s.path); !strings.HasPrefix(text, want) {
		t.Errorf("logged %q, want %q", text, want)
	}
	if err := s.Err(); err == nil || err.Error() != text {
		t.Errorf("Err returns %v, want %s", err, text)
	}
	remove(t, filepath.Join(s.path, "tls.key"))
	s.put(t, issue(t, "three"))
	s.poll()
	s.wantServed(t, "three")
	s.wantResults(t, result{true, true}, result{false, true}, result{false, true}, result{true, true})
	if err := s.Err(); err != nil {
		t.Errorf("Err returns %v", err)
	}
}

func wantAllKept(t *testing.T, tests map[string]corruption) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { wantKept(t, test) })
		})
	}
}

func TestInvalidPair(t *testing.T) {
	t.Parallel()
	wantAllKept(t, map[string]corruption{
		"a key of another": {
			put("tls.key", issue(t, "two").key),
			"the certificate and key are not a pair: tls: private key does not match public key",
		},
		"garbage": {
			put("tls.crt", "garbage"),
			"the certificate and key are not a pair: tls: failed to find any PEM data in certificate input",
		},
		"a truncated key": {
			put("tls.key", ""),
			"the certificate and key are not a pair: tls: failed to find any PEM data in key input",
		},
		"expired": {
			reissue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
			"the certificate expired at ",
		},
		"not valid yet": {
			reissue(func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(61*time.Minute), time.Now().Add(2*time.Hour)
			}),
			"the certificate is not valid before ",
		},
	})
}

func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	instead := func(of string, then func(t *testing.T, s *testCertWatcher)) func(*testing.T, *testCertWatcher) {
		return func(t *testing.T, s *testCertWatcher) {
			t.Helper()
			remove(t, filepath.Join(s.path, of))
			then(t, s)
		}
	}
	fifo := func(t *testing.T, s *testCertWatcher) { t.Helper(); makeFIFO(t, s.path, "tls.key") }
	wantAllKept(t, map[string]corruption{
		"missing":     {instead("tls.crt", put("other", "")), "reading certificate PATH/tls.crt: no such file or directory"},
		"a directory": {instead("tls.key", put("tls.key/file", "")), "reading key PATH/tls.key: is a directory"},
		"a FIFO":      {instead("tls.key", fifo), "reading key PATH/tls.key: is not a regular file"},
		"too big": {
			put("tls.key", strings.Repeat("x", 1<<20+1)), "reading key PATH/tls.key: is larger than 1048576 bytes",
		},
	})
}

func TestSameErrorIsCountedAndNotLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPollingCertWatcher(t)
		write(t, issue(t, "one").cert, s.path, "tls.crt")
		write(t, issue(t, "two").key, s.path, "tls.key")
		s.run(t)
		s.poll()
		s.poll()
		// Before and after the first watch, and at each poll.
		s.wantResults(t, result{}, result{}, result{}, result{})
		s.log.wantLines(t, "certificate not loaded", 1)
	})
}

func TestCertificateIsLoadedWhenValid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPollingCertWatcher(t)
		s.Watching.Poll = 0
		s.put(t, issue(t, "one", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(110*time.Minute), time.Now().Add(3*time.Hour)
		}))
		s.run(t)
		advance(49 * time.Minute)
		if slices.Contains(s.seen(), result{true, true}) {
			t.Errorf("the pair is loaded more than an hour before it is valid")
		}
		advance(2 * time.Minute)
		s.wantServed(t, "one")
		s.log.wantLines(t, "certificate not loaded", 1)
		if seen := s.seen(); seen[len(seen)-1] != (result{true, true}) {
			t.Errorf("observed %v", seen)
		}
	})
}

func TestCertificateWithoutNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newPollingCertWatcher(t)
		s.put(t, issue(t, "one", func(c *x509.Certificate) { c.DNSNames = nil }))
		s.run(t)
		s.wantServed(t, "one")
		line := s.log.wantLines(t, "the certificate has no DNS name or IP address as subject alternative name", 1)[0]
		if line["level"] != "warn" {
			t.Errorf("unexpected log line: %v", line)
		}
	})
}

func TestMissingPair(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "certs")
	s := newTestCertWatcher(t, path)
	names := "certificate " + path + "/tls.crt, key " + path + "/tls.key: "
	wantPending(t, s.Pending(), names+"not read yet")
	if got := s.name(); got != "no certificate is loaded yet: not read yet" {
		t.Errorf("GetCertificate returns %q", got)
	}
	background(t, s.Run)
	missing := "reading certificate " + path + "/tls.crt: no such file or directory"
	s.wantName(t, "no certificate is loaded yet: "+missing)
	wantPending(t, s.Pending(), names+missing)
	s.put(t, issue(t, "one"))
	s.wantName(t, "one")
	wantPending(t, s.Pending())
}

func TestPairRotated(t *testing.T) {
	t.Parallel()
	s := newTestCertWatcher(t, t.TempDir())
	s.put(t, issue(t, "first"))
	background(t, s.Run)
	s.wantName(t, "first")
	for i := range 4 {
		name := "name" + strconv.Itoa(i)
		s.put(t, issue(t, name))
		s.wantName(t, name)
	}
}

func TestPairRotatedFileByFile(t *testing.T) {
	t.Parallel()
	s := newTestCertWatcher(t, t.TempDir())
	s.put(t, issue(t, "first"))
	background(t, s.Run)
	s.wantName(t, "first")
	second := issue(t, "second")
	write(t, second.cert, s.path, "tls.crt")
	eventually(t, "the mismatch is logged", func() bool { return len(s.log.lines(t, "certificate not loaded")) == 1 })
	s.wantName(t, "first")
	write(t, second.key, s.path, "tls.key")
	s.wantName(t, "second")
}

func TestMountedSecret(t *testing.T) {
	t.Parallel()
	s := newTestCertWatcher(t, t.TempDir())
	for i := range 4 {
		name := "name" + strconv.Itoa(i)
		pair := issue(t, name)
		mountVolume(t, s.path, strconv.Itoa(i), map[string]string{"tls.crt": pair.cert, "tls.key": pair.key})
		if i == 0 {
			background(t, s.Run)
		}
		s.wantName(t, name)
	}
}

func TestHandshakesDuringRotation(t *testing.T) {
	t.Parallel()
	s := newTestCertWatcher(t, t.TempDir())
	s.put(t, issue(t, "first"))
	background(t, s.Run)
	s.wantName(t, "first")
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !stop.Load() {
				pair, err := s.GetCertificate(new(tls.ClientHelloInfo))
				if err != nil || pair.Leaf == nil || pair.PrivateKey == nil {
					t.Errorf("pair %v, error %v", pair, err)
					return
				}
				s.Pending()
			}
		})
	}
	for i := range 5 {
		name := "name" + strconv.Itoa(i)
		s.put(t, issue(t, name))
		s.reload(t, "")
		s.wantName(t, name)
	}
	stop.Store(true)
	readers.Wait()
}

func TestKeyInAnotherDirectory(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	first, second := issue(t, "first"), issue(t, "second")
	cert, key := filepath.Join(top, "public", "tls.crt"), filepath.Join(top, "private", "tls.key")
	write(t, first.cert, cert)
	write(t, first.key, key)
	s := &testCertWatcher{log: new(logBuffer)}
	s.CertWatcher = watcher.NewCertWatcher(cert, key, s.log.logger(), func(bool, time.Time) {})
	s.Watching.Poll = noPoll
	background(t, s.Run)
	s.wantName(t, "first")
	write(t, second.cert, cert)
	eventually(t, "the mismatch is logged", func() bool { return len(s.log.lines(t, "certificate not loaded")) == 1 })
	remove(t, key)
	eventually(t, "the missing key is logged", func() bool { return len(s.log.lines(t, "certificate not loaded")) == 2 })
	write(t, second.key, key)
	s.wantName(t, "second")
}
