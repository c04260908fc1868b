package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/hashicorp/go-multierror"
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
	selfManagedFlags
}

func (t *tlsFlags) define(flags flagSet) {
	t.flagSet = flags
	flags.StringVar(&t.certFile, "tls-cert-file", "", "file of the serving certificate and its chain, PEM; read again when it changes")
	flags.env("tls-cert-file", "TLS_CERT_FILE")
	flags.StringVar(&t.keyFile, "tls-key-file", "", "file of its private key, PEM; read again when it changes")
	flags.env("tls-key-file", "TLS_KEY_FILE")
	flags.BoolVar(&t.dev, "dev", false, "try it out: a throwaway certificate made in memory, console logs, loopback only")
	flags.env("dev", "SIDECAR_INJECTOR_DEV") // DEV alone is common, and means other things
	t.selfManagedFlags.define(flags)
}

// check wants exactly one way to come by a certificate.
func (t *tlsFlags) check() error {
	files := t.certFile != "" || t.keyFile != ""
	faults := multierror.Append(nil, t.selfManagedFlags.check())
	switch {
	case t.dev && (files || t.selfManaged):
		return listed(multierror.Append(faults, fmt.Errorf("%s makes its own certificate: leave out %s, or leave out --dev", t.named("dev"), t.otherMode())))
	case t.selfManaged && files:
		return listed(multierror.Append(faults, fmt.Errorf("%s makes its own certificate: leave out %s and %s, or leave out --self-managed-tls",
			t.named("self-managed-tls"), t.named("tls-cert-file"), t.named("tls-key-file"))))
	case !t.dev && !t.selfManaged && (t.certFile == "" || t.keyFile == ""):
		return listed(multierror.Append(faults, errors.New("no certificate to serve: give --tls-cert-file and --tls-key-file, or --self-managed-tls, "+
			"which keeps one in a Secret (--dev makes a throwaway certificate to try things out)")))
	}
	return listed(faults)
}

// otherMode names what was given beside --dev.
func (t *tlsFlags) otherMode() string {
	if t.selfManaged {
		return t.named("self-managed-tls")
	}
	return fmt.Sprintf("%s and %s", t.named("tls-cert-file"), t.named("tls-key-file"))
}

// keyPair is what the daemon needs of a certificate.
type keyPair interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Pending() []string
	Reload()
	Run(ctx context.Context) error
}

func (t *tlsFlags) newKeyPair(cluster *clusterFlags, metrics *server.Metrics, log zerolog.Logger) (keyPair, error) {
	switch {
	case t.dev:
		return newThrowaway(metrics)
	case t.selfManaged:
		return t.newKeeper(cluster, metrics, log)
	}
	return watcher.NewCertWatcher(t.certFile, t.keyFile, log, metrics.CertificateLoaded), nil
}
