package watcher

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

const (
	// clockSkew is how long before NotBefore a certificate is accepted, because this clock may be slow.
	clockSkew = time.Hour
	// maxChain is the maximum size of the encoded chain. Many TLS clients refuse handshake messages above
	// 64 KiB, and the message has a few more bytes.
	maxChain = 60 << 10
)

// readPEM reads a certificate or key file.
func readPEM(what, name string) ([]byte, error) {
	content, err := readRegular(os.OpenFile(name, openFlags, 0))
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathError.Err
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", what, name, err)
	}
	return content, nil
}

// parsePair parses the content of both files and sets Leaf. It returns a pair together with an error if both match,
// but clients refuse the certificate at that time.
func parsePair(certPEM, keyPEM []byte, now time.Time) (*tls.Certificate, error) {
	if bytes.Contains(keyPEM, []byte("ENCRYPTED")) {
		return nil, errors.New("the key is encrypted")
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the certificate and key are not a pair: %w", err)
	}
	if size := len(slices.Concat(pair.Certificate...)); size > maxChain {
		return nil, fmt.Errorf("the certificate and its chain have %d bytes; TLS clients refuse more than %d", size, maxChain)
	}
	chain, err := parseChain(&pair, now)
	if err != nil {
		return nil, fmt.Errorf("parsing the certificate: %w", err)
	}
	pair.Leaf = chain[0] // X509KeyPair sets it too, but not with x509keypairleaf=0 in GODEBUG
	return &pair, checkChain(chain, now)
}

// parseChain returns the leaf and the intermediates that lead to a root. It ignores other certificates
// and the root, which clients already have. Of several certificates of one issuer, it prefers one
// that clients accept.
func parseChain(pair *tls.Certificate, now time.Time) ([]*x509.Certificate, error) {
	all, err := x509.ParseCertificates(slices.Concat(pair.Certificate...))
	if err != nil {
		return nil, err
	}
	chain := all[:1:1]
	for len(chain) < len(all) {
		last := chain[len(chain)-1]
		var issuer *x509.Certificate
		for _, candidate := range all[1:] {
			root := bytes.Equal(candidate.RawSubject, candidate.RawIssuer)
			better := issuer == nil || checkCertificate(candidate, now) == nil
			if !root && better && last.CheckSignatureFrom(candidate) == nil {
				issuer = candidate
			}
		}
		if issuer == nil {
			break
		}
		chain = append(chain, issuer)
	}
	return chain, nil
}

// checkChain rejects a chain that clients refuse.
func checkChain(chain []*x509.Certificate, now time.Time) error {
	for i, certificate := range chain {
		name := "the certificate"
		if i > 0 {
			name = fmt.Sprintf("the intermediate certificate %q", certificate.Subject)
		}
		if err := checkCertificate(certificate, now); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
	}
	return nil
}

// checkCertificate rejects a certificate that clients refuse. Its errors do not contain the current time, so that they
// are logged once.
func checkCertificate(certificate *x509.Certificate, now time.Time) error {
	switch {
	case now.After(certificate.NotAfter):
		return fmt.Errorf("expired at %s", certificate.NotAfter.Format(time.RFC3339))
	case now.Before(certificate.NotBefore.Add(-clockSkew)):
		return fmt.Errorf("is not valid before %s", certificate.NotBefore.Format(time.RFC3339))
	case !allowsServing(certificate):
		return errors.New("is not for servers; its extended key usage lacks serverAuth")
	}
	return nil
}

// allowsServing reports whether a server may use a certificate, or a CA may sign for servers with it
// (RFC 5280, section 4.2.1.12).
func allowsServing(certificate *x509.Certificate) bool {
	return len(certificate.ExtKeyUsage)+len(certificate.UnknownExtKeyUsage) == 0 ||
		slices.Contains(certificate.ExtKeyUsage, x509.ExtKeyUsageServerAuth) ||
		slices.Contains(certificate.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// lifetimeOf returns the lifetime of a certificate, and the earliest expiry in its chain.
func lifetimeOf(pair *tls.Certificate, now time.Time) (lifetime time.Duration, notAfter time.Time) {
	chain, _ := parseChain(pair, now) // it was parsed when it was loaded
	earliest := slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	return chain[0].NotAfter.Sub(chain[0].NotBefore), earliest.NotAfter
}

// hasNames reports whether clients can verify the name of a certificate.
func hasNames(leaf *x509.Certificate) bool { return len(leaf.DNSNames)+len(leaf.IPAddresses) > 0 }

// logLoaded logs the certificate that is now in service. It does not log the key.
func logLoaded(log zerolog.Logger, certFile string, leaf *x509.Certificate) {
	fingerprint := sha256.Sum256(leaf.Raw)
	log.Info().
		Str("certificate", certFile).
		Stringer("subject", leaf.Subject).
		Strs("dns_names", leaf.DNSNames).
		Time("not_after", leaf.NotAfter).
		Str("serial", leaf.SerialNumber.Text(16)).
		Hex("fingerprint", fingerprint[:]).
		Msg("certificate loaded")
	if !hasNames(leaf) {
		log.Warn().
			Str("certificate", certFile).
			Msg("the certificate has no DNS name or IP address as subject alternative name; the API server refuses it")
	}
}
