package pki

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The keys of the Secret. Those of the serving certificate are those of type kubernetes.io/tls.
const (
	caCertKey = corev1.ServiceAccountRootCAKey // ca.crt: all trusted CAs; the first one signs
	caKeyKey  = "ca.key"
	certKey   = corev1.TLSCertKey       // tls.crt
	keyKey    = corev1.TLSPrivateKeyKey // tls.key
)

// state is the parsed content of the Secret. It is immutable.
type state struct {
	// trusted are the CAs for clients, at least one. The first one signs.
	trusted []*x509.Certificate
	key     *ecdsa.PrivateKey // of the first
	leaf    *tls.Certificate  // Leaf is set
	by      int               // index of the CA that signed it
}

// signer returns the CA that signs.
func (s *state) signer() *authority { return &authority{s.trusted[0], s.key} }

// settled reports whether the first CA has signed the serving certificate, so that no rotation of the CA is in
// progress.
func (s *state) settled() bool { return s.by == 0 }

// bundle returns the trusted CAs as PEM.
func (s *state) bundle() []byte {
	var bundle []byte
	for _, ca := range s.trusted {
		bundle = append(bundle, encodePEM("CERTIFICATE", ca.Raw)...)
	}
	return bundle
}

// encode returns the content of the Secret.
func (s *state) encode() (map[string][]byte, error) {
	caKey, err := encodeKey(s.key)
	if err != nil {
		return nil, err
	}
	key, err := encodeKey(s.leaf.PrivateKey)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		caCertKey: s.bundle(),
		caKeyKey:  caKey,
		certKey:   encodePEM("CERTIFICATE", s.leaf.Certificate[0]),
		keyKey:    key,
	}, nil
}

func encodeKey(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return encodePEM("PRIVATE KEY", der), nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// errEmpty is the error of a new Secret.
var errEmpty = errors.New("empty")

// decode parses the content of the Secret. It rejects a CA that cannot sign and a certificate that
// cannot be served at that time. An expired serving certificate is accepted, because it can be
// renewed. Errors contain no part of a key.
func decode(data map[string][]byte, now time.Time) (*state, error) {
	if len(data[caCertKey])+len(data[caKeyKey])+len(data[certKey])+len(data[keyKey]) == 0 {
		return nil, errEmpty
	}
	trusted, err := decodeCAs(data[caCertKey], now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", caCertKey, err)
	}
	pair, err := tls.X509KeyPair(encodePEM("CERTIFICATE", trusted[0].Raw), data[caKeyKey])
	if err != nil {
		return nil, fmt.Errorf("%s: not the key of the first certificate of %s: %w", caKeyKey, caCertKey, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: a %T, want an ECDSA key", caKeyKey, pair.PrivateKey)
	}
	leaf, err := tls.X509KeyPair(data[certKey], data[keyKey])
	if err != nil {
		return nil, fmt.Errorf("%s and %s: not a pair: %w", certKey, keyKey, err)
	}
	if leaf.Leaf == nil { // with x509keypairleaf=0 in GODEBUG
		if leaf.Leaf, err = x509.ParseCertificate(leaf.Certificate[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", certKey, err)
		}
	}
	by := slices.IndexFunc(trusted, func(ca *x509.Certificate) bool { return leaf.Leaf.CheckSignatureFrom(ca) == nil })
	if by < 0 {
		return nil, fmt.Errorf("%s: signed by none of the CAs in %s", certKey, caCertKey)
	}
	if err := verify(leaf.Leaf, trusted[by], now); err != nil {
		return nil, fmt.Errorf("%s: %w", certKey, err)
	}
	return &state{trusted: trusted, key: key, leaf: &leaf, by: by}, nil
}

// verify reports whether clients accept the certificate now. An expired certificate is verified at its
// expiry, because it can be renewed. A certificate that becomes valid within clockSkew is verified at
// that time: another replica, whose clock is ahead, has issued it.
func verify(leaf, ca *x509.Certificate, now time.Time) error {
	at := now
	for _, c := range []*x509.Certificate{leaf, ca} {
		if c.NotBefore.After(at) && !c.NotBefore.After(now.Add(clockSkew)) {
			at = c.NotBefore
		}
	}
	if at.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: usages})
	return err
}

// decodeCAs parses a bundle. It rejects an expired first CA and drops other expired ones.
func decodeCAs(bundle []byte, now time.Time) ([]*x509.Certificate, error) {
	var trusted []*x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		ca, err := x509.ParseCertificate(block.Bytes)
		switch {
		case block.Type != "CERTIFICATE":
			return nil, fmt.Errorf("a %q, want certificates", block.Type)
		case err != nil:
			return nil, err
		case !ca.IsCA:
			return nil, fmt.Errorf("%q is not a CA", ca.Subject)
		case now.After(ca.NotAfter) && trusted == nil:
			return nil, fmt.Errorf("%q expired at %s", ca.Subject, ca.NotAfter.UTC().Format(time.RFC3339))
		case !now.After(ca.NotAfter):
			trusted = append(trusted, ca)
		}
	}
	if trusted == nil {
		return nil, errors.New("no certificate in PEM")
	}
	return trusted, nil
}
