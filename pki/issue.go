package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"slices"
	"time"
)

// clockSkew is how far the clocks of replicas and API servers may be apart. Certificates are valid
// from clockSkew before they are issued, and one that becomes valid within clockSkew is usable.
const clockSkew = time.Hour

// authority is a CA that can sign.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority issues a CA. Its name contains the time, because clients try all CAs of the same name.
func newAuthority(now time.Time, lifetime time.Duration) (*authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "k8s-sidecar-injector CA " + now.UTC().Format(time.RFC3339)},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := sign(template, now, now.Add(lifetime), key, &authority{template, key})
	if err != nil {
		return nil, err
	}
	return &authority{certificate, key}, nil
}

// issue returns a serving certificate for these DNS names and IP addresses. It does not outlive the CA.
func (a *authority) issue(now time.Time, lifetime time.Duration, names []string) (*tls.Certificate, error) {
	template := &x509.Certificate{
		// Not a host name, because a common name has at most 64 bytes.
		Subject:     pkix.Name{CommonName: "k8s-sidecar-injector"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	end := now.Add(lifetime)
	if last := a.certificate.NotAfter; end.After(last) {
		end = last
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := sign(template, now, end, key, a)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func sign(
	template *x509.Certificate, start, end time.Time, key *ecdsa.PrivateKey, by *authority,
) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1)) // RFC 5280, 4.1.2.2: positive
	template.NotBefore, template.NotAfter = start.Add(-clockSkew), end
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// issuedAt returns when a certificate was issued, to the second. A certificate that lives for less than
// clockSkew was not issued by this package and is not backdated.
func issuedAt(c *x509.Certificate) time.Time {
	if issued := c.NotBefore.Add(clockSkew); issued.Before(c.NotAfter) {
		return issued
	}
	return c.NotBefore
}

// renewal returns when a certificate is due to be replaced: after two thirds of its lifetime.
func renewal(c *x509.Certificate) time.Time {
	made := issuedAt(c)
	return made.Add(c.NotAfter.Sub(made) * 2 / 3)
}

// namesOf returns the names of a certificate, sorted.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return names
}
