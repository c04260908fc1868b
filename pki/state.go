package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	certutil "k8s.io/client-go/util/cert"
)

// The keys of the Secret. Those of the serving certificate are those of type kubernetes.io/tls.
const (
	caCertKey = corev1.ServiceAccountRootCAKey // ca.crt: all trusted CAs; the first one signs
	caKeyKey  = "ca.key"
	certKey   = corev1.TLSCertKey       // tls.crt
	keyKey    = corev1.TLSPrivateKeyKey // tls.key
)

// state is the decoded content of the Secret. It is immutable. Leaf of ca and leaf is set.
type state struct {
	ca       *tls.Certificate    // the signing CA
	old      []*x509.Certificate // CAs that clients also trust
	leaf     *tls.Certificate    // the serving certificate
	rotating bool                // leaf is signed by one of old, not by ca
}

// bundle returns the trusted CAs as PEM, the signing CA first.
func (s *state) bundle() []byte {
	bundle := encodePEM(certutil.CertificateBlockType, s.ca.Leaf.Raw)
	for _, ca := range s.old {
		bundle = append(bundle, encodePEM(certutil.CertificateBlockType, ca.Raw)...)
	}
	return bundle
}

// encode returns the data of the Secret.
func (s *state) encode() (map[string][]byte, error) {
	caKey, err := x509.MarshalPKCS8PrivateKey(s.ca.PrivateKey)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(s.leaf.PrivateKey)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		caCertKey: s.bundle(),
		caKeyKey:  encodePEM("PRIVATE KEY", caKey),
		certKey:   encodePEM(certutil.CertificateBlockType, s.leaf.Leaf.Raw),
		keyKey:    encodePEM("PRIVATE KEY", key),
	}, nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// errEmpty is the error of a Secret that does not exist or has not been filled yet.
var errEmpty = errors.New("no certificates")

// decode parses the data of the Secret. It rejects a CA that cannot sign, and a serving certificate that clients
// would refuse. An expired serving certificate is accepted, because it can be renewed. Errors contain no part of a
// key.
func decode(data map[string][]byte, now time.Time) (*state, error) {
	if len(data[caCertKey])+len(data[caKeyKey])+len(data[certKey])+len(data[keyKey]) == 0 {
		return nil, errEmpty
	}
	trusted, err := decodeCAs(data[caCertKey], now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", caCertKey, err)
	}
	ca, err := tls.X509KeyPair(data[caCertKey], data[caKeyKey])
	if err != nil {
		return nil, fmt.Errorf("%s: not the key of the first certificate of %s: %w", caKeyKey, caCertKey, err)
	}
	leaf, err := tls.X509KeyPair(data[certKey], data[keyKey])
	if err != nil {
		return nil, fmt.Errorf("%s and %s: not a pair: %w", certKey, keyKey, err)
	}
	if err := verify(leaf.Leaf, trusted, now); err != nil {
		return nil, fmt.Errorf("%s: %w", certKey, err)
	}
	rotating := leaf.Leaf.CheckSignatureFrom(ca.Leaf) != nil
	return &state{ca: &ca, old: trusted[1:], leaf: &leaf, rotating: rotating}, nil
}

// verify returns why clients would refuse the certificate. The time of verification is clockSkew after now, because
// a replica whose clock is ahead may have issued the certificate. It is at most the expiry, because an expired
// certificate can be renewed.
func verify(leaf *x509.Certificate, trusted []*x509.Certificate, now time.Time) error {
	roots := x509.NewCertPool()
	for _, ca := range trusted {
		roots.AddCert(ca)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: earlier(now.Add(clockSkew), leaf.NotAfter)})
	return err
}

// decodeCAs parses a bundle. It rejects a bundle whose first CA has expired, and drops other expired CAs.
func decodeCAs(bundle []byte, now time.Time) ([]*x509.Certificate, error) {
	cas, err := certutil.ParseCertsPEM(bundle)
	if err != nil {
		return nil, err
	}
	for _, ca := range cas {
		if !ca.IsCA {
			return nil, fmt.Errorf("%q is not a CA", ca.Subject)
		}
	}
	if now.After(cas[0].NotAfter) {
		return nil, fmt.Errorf("%q expired at %s", cas[0].Subject, cas[0].NotAfter.UTC().Format(time.RFC3339))
	}
	return slices.DeleteFunc(cas, func(ca *x509.Certificate) bool { return now.After(ca.NotAfter) }), nil
}
