package watcher

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/rs/zerolog"
)

var errNotTried = errors.New("it has not been read yet")

// readPEM reads one of the two files.
func readPEM(what, name string) ([]byte, error) {
	content, err := readRegular(everywhere{}, name)
	if err == nil {
		return content, nil
	}
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathError.Err
	}
	return nil, fmt.Errorf("reading %s %s: %w", what, name, err)
}

// parsePair makes a pair of the content of both files. It refuses one that does not match or
// that clients would refuse at that time. Leaf is set.
func parsePair(certPEM, keyPEM []byte, now time.Time) (*tls.Certificate, error) {
	if bytes.Contains(keyPEM, []byte("ENCRYPTED")) {
		return nil, errors.New("the key is encrypted: decrypt it, there is nobody to ask for a password")
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("not a pair of certificate and key: %w", err)
	}
	// X509KeyPair sets it too, unless GODEBUG says otherwise.
	pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("parsing the certificate: %w", err)
	}
	return &pair, checkValidity(pair.Leaf, now)
}

// checkValidity gives errors that do not change with the time, so that they are logged once.
func checkValidity(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate expired at %s", leaf.NotAfter.Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s: check the clock", leaf.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// logLoaded says which certificate is served from now on; of the key it says nothing.
func logLoaded(log zerolog.Logger, certFile string, leaf *x509.Certificate) {
	fingerprint := sha256.Sum256(leaf.Raw)
	log.Info().
		Str("certificate", certFile).
		Stringer("subject", leaf.Subject).
		Strs("dns_names", leaf.DNSNames).
		Time("not_after", leaf.NotAfter).
		Str("serial", leaf.SerialNumber.Text(16)).
		Str("fingerprint", hex.EncodeToString(fingerprint[:])).
		Msg("certificate loaded")
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		log.Warn().
			Str("certificate", certFile).
			Msg("the certificate has no DNS name or IP address as subject alternative name: the API server will refuse it; " +
				"issue one with the DNS name of the service")
	}
}
