package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"

	"k8s-sidecar-injector/server"
)

// throwaway is a self-signed certificate for this machine, which lives as long as the process.
type throwaway struct {
	certificate tls.Certificate
}

const throwawayLifetime = 30 * 24 * time.Hour

func newThrowaway(metrics *server.Metrics) (*throwaway, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the throwaway certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: programName + " --dev"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(throwawayLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the throwaway certificate: %w", err)
	}
	metrics.CertificateLoaded(true, template.NotAfter)
	return &throwaway{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}, nil
}

// GetCertificate gives the certificate.
func (t *throwaway) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return &t.certificate, nil
}

// Pending is empty: the certificate was made at start.
func (t *throwaway) Pending() []string { return nil }

// Reload does nothing.
func (t *throwaway) Reload() {}

// Run does nothing until the context ends.
func (t *throwaway) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
