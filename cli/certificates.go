package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"k8s-sidecar-injector/server"
	"k8s-sidecar-injector/watcher"
)

// tlsOptions select the source of the serving certificate: files, the self-managed Secret, or memory.
type tlsOptions struct {
	flags       *pflag.FlagSet
	certFile    string
	keyFile     string
	dev         bool
	selfManaged selfManagedTLSOptions
}

func (o *tlsOptions) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringVar(&o.certFile, "tls-cert-file", "",
		"file with the serving certificate and its chain, PEM; reloaded when it changes")
	bindEnv(flags, "tls-cert-file", "TLS_CERT_FILE")
	flags.StringVar(&o.keyFile, "tls-key-file", "", "file with its private key, PEM; reloaded when it changes")
	bindEnv(flags, "tls-key-file", "TLS_KEY_FILE")
	flags.BoolVar(&o.dev, "dev", false,
		"development mode: a self-signed certificate in memory, console logs, loopback only")
	bindEnv(flags, "dev", "SIDECAR_INJECTOR_DEV") // other programs use DEV
	o.selfManaged.AddFlags(flags)
}

// Complete drops default files, which only entrypoint.sh has, if the certificate has another source.
func (o *tlsOptions) Complete() {
	if !o.dev && !o.selfManaged.enabled {
		return
	}
	if !o.flags.Changed("tls-cert-file") {
		o.certFile = ""
	}
	if !o.flags.Changed("tls-key-file") {
		o.keyFile = ""
	}
}

func (o *tlsOptions) Validate() error {
	return aggregate(o.selfManaged.Validate(), o.validateSource())
}

// validateSource returns an error unless the certificate has exactly one source.
func (o *tlsOptions) validateSource() error {
	dev, selfManaged := flagName(o.flags, "dev"), flagName(o.flags, "self-managed-tls")
	hasFiles := o.certFile != "" || o.keyFile != ""
	files := flagName(o.flags, "tls-cert-file") + " and " + flagName(o.flags, "tls-key-file")
	switch {
	case o.dev && o.selfManaged.enabled:
		return fmt.Errorf("%s makes its own certificate; leave out %s, or leave out --dev", dev, selfManaged)
	case o.dev && hasFiles:
		return fmt.Errorf("%s makes its own certificate; leave out %s, or leave out --dev", dev, files)
	case o.selfManaged.enabled && hasFiles:
		return fmt.Errorf("%s makes its own certificate; leave out %s, or leave out --self-managed-tls",
			selfManaged, files)
	case !o.dev && !o.selfManaged.enabled && (o.certFile == "" || o.keyFile == ""):
		return errors.New("no serving certificate; set --tls-cert-file and --tls-key-file, or --self-managed-tls " +
			"to keep one in a Secret, or --dev to use a self-signed certificate")
	}
	return nil
}

// certificateSource provides the serving certificate.
type certificateSource interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Pending() []string
	Reload()
	Run(ctx context.Context) error
}

func (o *tlsOptions) newSource(
	cluster *clusterOptions, metrics *server.Metrics, log zerolog.Logger,
) (certificateSource, error) {
	switch {
	case o.dev:
		return newSelfSigned(metrics)
	case o.selfManaged.enabled:
		return o.selfManaged.newKeeper(cluster, metrics, log)
	}
	return watcher.NewCertWatcher(o.certFile, o.keyFile, log, metrics.CertificateLoaded), nil
}
