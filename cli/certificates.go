package cli

import (
	"cmp"
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
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/pki"
	"k8s-sidecar-injector/server"
)

// tlsOptions select the source of the serving certificate: files, a Secret that all replicas share, or memory.
type tlsOptions struct {
	certFile string
	keyFile  string
	dev      bool

	// These configure the certificates in the Secret.
	selfManaged    bool
	secret         string
	configurations []string
	names          []string
	lifetime       time.Duration
	caLifetime     time.Duration

	secretName types.NamespacedName // set by Complete
}

const (
	// minLifetime leaves enough time to distribute a new CA.
	minLifetime = 10 * time.Second
	// minCALifetimes is the minimum ratio of --tls-ca-lifetime and --tls-lifetime. A CA must outlive the last
	// certificate that it has signed.
	minCALifetimes = 3
)

func (o *tlsOptions) AddFlags(flags *pflag.FlagSet) {
	addGroup(flags, groupServing, func(flags *pflag.FlagSet) {
		// Other programs use the variable DEV.
		flags.BoolVar(&o.dev, "dev", false,
			"development mode: a self-signed certificate in memory, console logs, loopback only [$SIDECAR_INJECTOR_DEV]")
	})
	addGroup(flags, groupCertificates, o.addCertificateFlags)
}

func (o *tlsOptions) addCertificateFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.certFile, "tls-cert-file", "",
		"file with the serving certificate and its chain, PEM; reloaded when it changes [$TLS_CERT_FILE]")
	flags.StringVar(&o.keyFile, "tls-key-file", "",
		"file with its private key, PEM; reloaded when it changes [$TLS_KEY_FILE]")
	flags.BoolVar(&o.selfManaged, "self-managed-tls", false,
		"keep a CA and a serving certificate in a Secret that all replicas share, and update the caBundle of the "+
			"webhook configurations [$SELF_MANAGED_TLS]")
	flags.StringVar(&o.secret, "tls-secret", "sidecar-injector-tls",
		"that Secret, as NAME in the pod's own namespace, or NAMESPACE/NAME [$TLS_SECRET]")
	flags.StringSliceVar(&o.configurations, "webhook-configurations", []string{"sidecar-injector"},
		"names of the mutating and validating webhook configurations whose caBundle is updated, in all their webhooks "+
			"[$WEBHOOK_CONFIGURATIONS]")
	flags.StringSliceVar(&o.names, "tls-dns-names", nil, "DNS names and IP addresses of the serving certificate "+
		"(default sidecar-injector.NAMESPACE.svc, with the namespace of the Secret) [$TLS_DNS_NAMES]")
	flags.DurationVar(&o.lifetime, "tls-lifetime", 90*24*time.Hour,
		"lifetime of a serving certificate; it is renewed after two thirds of it [$TLS_LIFETIME]")
	flags.DurationVar(&o.caLifetime, "tls-ca-lifetime", 5*365*24*time.Hour,
		"lifetime of a CA, at least three times --tls-lifetime; it is renewed after two thirds of it [$TLS_CA_LIFETIME]")
}

// Complete validates the flags.
func (o *tlsOptions) Complete(e *flagErrors, cluster *clusterOptions) {
	if o.selfManaged {
		o.completeSelfManaged(e, cluster)
	} else {
		e.checkUnused("self-managed-tls",
			"tls-secret", "webhook-configurations", "tls-dns-names", "tls-lifetime", "tls-ca-lifetime")
	}
	// Only entrypoint.sh has default files. They do not apply if the certificate has another source.
	hasFiles := e.flags.Changed("tls-cert-file") && o.certFile != "" || e.flags.Changed("tls-key-file") && o.keyFile != ""
	files := e.name("tls-cert-file") + " and " + e.name("tls-key-file")
	conflict := func(source, other string) {
		e.addf("%s makes its own certificate; leave out %s, or leave out --%s", e.name(source), other, source)
	}
	switch {
	case o.dev && o.selfManaged:
		conflict("dev", e.name("self-managed-tls"))
	case o.dev && hasFiles:
		conflict("dev", files)
	case o.selfManaged && hasFiles:
		conflict("self-managed-tls", files)
	case !o.dev && !o.selfManaged && (o.certFile == "" || o.keyFile == ""):
		e.addf("no serving certificate; set --tls-cert-file and --tls-key-file, or --self-managed-tls " +
			"to keep one in a Secret, or --dev to use a self-signed certificate")
	case !o.dev && !o.selfManaged:
		e.errs = append(e.errs, checkDefaultCertFile(e.flags, o.certFile))
	}
}

func (o *tlsOptions) completeSelfManaged(e *flagErrors, cluster *clusterOptions) {
	e.add("tls-secret", o.completeSecret(cluster))
	for _, name := range o.configurations {
		e.checkName("webhook-configurations", name, validation.IsDNS1123Subdomain)
	}
	for _, name := range o.names {
		if len(validation.IsDNS1123Subdomain(name)) > 0 && net.ParseIP(name) == nil {
			e.add("tls-dns-names", fmt.Errorf("%q is neither a DNS name nor an IP address", name))
		}
	}
	if len(o.names) == 0 {
		o.names = []string{"sidecar-injector." + o.secretName.Namespace + ".svc"}
	}
	if o.lifetime < minLifetime {
		e.add("tls-lifetime", fmt.Errorf("%s is too short; want at least %s", o.lifetime, minLifetime))
	}
	if o.caLifetime < minCALifetimes*o.lifetime {
		e.add("tls-ca-lifetime", fmt.Errorf("%s is too short; want at least %d times --tls-lifetime, %s",
			o.caLifetime, minCALifetimes, o.lifetime))
	}
}

// completeSecret sets the name of the Secret. The default namespace is that of the pod.
func (o *tlsOptions) completeSecret(cluster *clusterOptions) error {
	namespace, name, found := strings.Cut(o.secret, "/")
	if !found {
		name = o.secret
		var err error
		if namespace, err = cluster.podNamespace(); err != nil {
			return fmt.Errorf("must be NAMESPACE/NAME outside a pod: %w", err)
		}
	}
	o.secretName = types.NamespacedName{Namespace: namespace, Name: name}
	problems := append(validation.IsDNS1123Label(namespace), validation.IsDNS1123Subdomain(name)...)
	if len(problems) > 0 {
		return fmt.Errorf("%q: %s", o.secretName, strings.Join(problems, "; "))
	}
	return nil
}

// certificateState is a serving certificate that changes.
type certificateState interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Pending returns why there is no certificate yet. Err returns why it cannot be loaded, watched or renewed now.
	Pending() []string
	Err() error
}

// certificateSource provides a serving certificate that changes.
type certificateSource interface {
	certificateState
	Reload(ctx context.Context) error
	Run(ctx context.Context) error
}

// selfManaged is the source of the certificate in the Secret.
type selfManaged struct{ *pki.Controller }

// Reload requests a reconciliation, and returns why the certificate is not in service yet.
func (s selfManaged) Reload(context.Context) error {
	s.Controller.Reload()
	if reasons := s.Pending(); reasons != nil {
		return errors.New(strings.Join(reasons, "; "))
	}
	return nil
}

// newController returns the controller of the certificates in the Secret.
func (o *tlsOptions) newController(
	config *rest.Config, metrics *server.Metrics, log zerolog.Logger,
) (certificateSource, error) {
	admission := kube.Group{
		Version: admissionregistrationv1.SchemeGroupVersion, Add: admissionregistrationv1.AddToScheme,
	}
	secrets, secretsErr := kube.NewClient(config, kube.Core(), "secrets", o.secretName.Namespace,
		newObject[corev1.Secret], newObject[corev1.SecretList])
	mutating, mutatingErr := kube.NewClient(config, admission, "mutatingwebhookconfigurations", "",
		newObject[admissionregistrationv1.MutatingWebhookConfiguration],
		newObject[admissionregistrationv1.MutatingWebhookConfigurationList])
	validating, validatingErr := kube.NewClient(config, admission, "validatingwebhookconfigurations", "",
		newObject[admissionregistrationv1.ValidatingWebhookConfiguration],
		newObject[admissionregistrationv1.ValidatingWebhookConfigurationList])
	if err := cmp.Or(secretsErr, mutatingErr, validatingErr); err != nil {
		return nil, err
	}
	return selfManaged{pki.New(pki.Options{
		Secrets: secrets, Mutating: mutating, Validating: validating,
		Secret: o.secretName, Configurations: o.configurations, Names: o.names,
		Lifetime: o.lifetime, CALifetime: o.caLifetime,
		Log: log, Observe: metrics.CertificateLoaded,
	})}, nil
}

const selfSignedLifetime = 30 * 24 * time.Hour

// newSelfSigned returns a function that returns a certificate for localhost, which is never renewed.
func newSelfSigned(metrics *server.Metrics) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create a self-signed certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: programName + " --dev"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(selfSignedLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("create a self-signed certificate: %w", err)
	}
	metrics.CertificateLoaded(true, template.NotAfter)
	certificate := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }, nil
}
