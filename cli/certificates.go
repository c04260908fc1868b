package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/rs/zerolog"

	"k8s-sidecar-injector/server"
	"k8s-sidecar-injector/watcher"
)

// tlsFlags say where the serving certificate comes from.
type tlsFlags struct {
	flagSet
	certFile string
	keyFile  string
	dev      bool
}

func (t *tlsFlags) define(flags flagSet) {
	t.flagSet = flags
	flags.StringVar(&t.certFile, "tls-cert-file", "", "file of the serving certificate and its chain, PEM; read again when it changes")
	flags.env("tls-cert-file", "TLS_CERT_FILE")
	flags.StringVar(&t.keyFile, "tls-key-file", "", "file of its private key, PEM; read again when it changes")
	flags.env("tls-key-file", "TLS_KEY_FILE")
	flags.BoolVar(&t.dev, "dev", false, "try it out: a throwaway certificate made in memory, console logs, loopback only")
	flags.env("dev", "SIDECAR_INJECTOR_DEV") // DEV alone is common, and means other things
}

// check wants exactly one way to come by a certificate.
func (t *tlsFlags) check() error {
	switch {
	case t.dev && (t.certFile != "" || t.keyFile != ""):
		return fmt.Errorf("%s makes its own certificate: leave out %s and %s, or leave out --dev",
			t.named("dev"), t.named("tls-cert-file"), t.named("tls-key-file"))
	case !t.dev && (t.certFile == "" || t.keyFile == ""):
		return errors.New("--tls-cert-file and --tls-key-file are both needed (--dev makes a throwaway certificate to try things out)")
	}
	return nil
}

// keyPair is what the daemon needs of a certificate.
type keyPair interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Pending() []string
	Reload()
	Run(ctx context.Context) error
}

func (t *tlsFlags) newKeyPair(metrics *server.Metrics, log zerolog.Logger) (keyPair, error) {
	if t.dev {
		return newThrowaway(metrics)
	}
	return watcher.NewKeyPair(t.certFile, t.keyFile, log, metrics.CertificateLoaded), nil
}

// throwaway is a self-signed certificate for this machine, which lives as long as the process.
type throwaway struct {
	certificate tls.Certificate
}

const throwawayLifetime = 30 * 24 * time.Hour

func newThrowaway(metrics *server.Metrics) (*throwaway, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
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
		return nil, err
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
