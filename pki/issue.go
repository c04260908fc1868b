package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
)

// clockSkew is how far the clocks of replicas and API servers may differ. Certificates are valid from clockSkew
// before they are issued, and a certificate that becomes valid within clockSkew is accepted.
const clockSkew = time.Hour

// newCA issues a CA. Its name contains the time, because clients try all CAs with the name of the issuer.
func newCA(now time.Time, lifetime time.Duration) (*tls.Certificate, error) {
	return issue(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "k8s-sidecar-injector CA " + now.UTC().Format(time.RFC3339)},
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}, nil, now)
}

// newLeaf issues a serving certificate for DNS names and IP addresses. It does not outlive the CA.
func newLeaf(ca *tls.Certificate, now time.Time, lifetime time.Duration, names []string) (*tls.Certificate, error) {
	template := &x509.Certificate{
		// A host name may be longer than the 64 bytes of a common name.
		Subject:     pkix.Name{CommonName: "k8s-sidecar-injector"},
		NotAfter:    earlier(now.Add(lifetime), ca.Leaf.NotAfter),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range sets.List(sets.New(names...)) {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return issue(template, ca, now)
}

// issue creates a key and a certificate, and signs it with the key of the CA, or with its own key if ca is nil.
func issue(template *x509.Certificate, ca *tls.Certificate, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if ca == nil {
		ca = &tls.Certificate{PrivateKey: key, Leaf: template}
	}
	template.NotBefore = now.Add(-clockSkew)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// issuedAt returns when this package issued a certificate, to the second.
func issuedAt(c *x509.Certificate) time.Time { return c.NotBefore.Add(clockSkew) }

// renewal returns when a certificate is due for renewal: after two thirds of its lifetime. A certificate that is
// valid for less than clockSkew was not issued by this package and is renewed when it expires.
func renewal(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(-max(0, c.NotAfter.Sub(issuedAt(c))) / 3)
}

// namesOf returns the DNS names and IP addresses of a certificate, sorted.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return names
}
