package cli

import (
	"errors"
	"fmt"
	"io/fs"
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

// selfManagedTLSOptions configure the certificates in a Secret that all replicas share.
type selfManagedTLSOptions struct {
	flags          *pflag.FlagSet
	enabled        bool
	secret         string
	configurations []string
	names          []string
	lifetime       time.Duration
	caLifetime     time.Duration
}

const (
	// minLifetime leaves enough time to distribute a new CA.
	minLifetime = 10 * time.Second
	// minCALifetimes is the minimum ratio of --tls-ca-lifetime and --tls-lifetime. A CA must outlive the last
	// certificate that it has signed.
	minCALifetimes = 3
)

func (o *selfManagedTLSOptions) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.BoolVar(&o.enabled, "self-managed-tls", false,
		"keep a CA and a serving certificate in a Secret that all replicas share, and update the caBundle of the "+
			"webhook configurations")
	bindEnv(flags, "self-managed-tls", "SELF_MANAGED_TLS")
	flags.StringVar(&o.secret, "tls-secret", "sidecar-injector-tls",
		"that Secret, as NAME in the pod's own namespace, or NAMESPACE/NAME")
	bindEnv(flags, "tls-secret", "TLS_SECRET")
	flags.StringSliceVar(&o.configurations, "webhook-configurations", []string{"sidecar-injector"},
		"names of the mutating and validating webhook configurations whose caBundle is updated, in all their webhooks")
	bindEnv(flags, "webhook-configurations", "WEBHOOK_CONFIGURATIONS")
	flags.StringSliceVar(&o.names, "tls-dns-names", nil, "DNS names and IP addresses of the serving certificate "+
		"(default sidecar-injector.NAMESPACE.svc, with the namespace of the Secret)")
	bindEnv(flags, "tls-dns-names", "TLS_DNS_NAMES")
	flags.DurationVar(&o.lifetime, "tls-lifetime", 90*24*time.Hour,
		"lifetime of a serving certificate; it is renewed after two thirds of it")
	bindEnv(flags, "tls-lifetime", "TLS_LIFETIME")
	flags.DurationVar(&o.caLifetime, "tls-ca-lifetime", 5*365*24*time.Hour,
		"lifetime of a CA, at least three times --tls-lifetime; it is renewed after two thirds of it")
	bindEnv(flags, "tls-ca-lifetime", "TLS_CA_LIFETIME")
}

func (o *selfManagedTLSOptions) Validate() error {
	if !o.enabled {
		return o.validateDisabled()
	}
	_, err := o.resolveSecret(podNamespaceFile)
	errs := []error{err}
	for _, name := range o.configurations {
		errs = append(errs, validateName(o.flags, "webhook-configurations", name, validation.IsDNS1123Subdomain))
	}
	for _, name := range o.names {
		if len(validation.IsDNS1123Subdomain(name)) > 0 && net.ParseIP(name) == nil {
			errs = append(errs, flagError(o.flags, "tls-dns-names", "%q is neither a DNS name nor an IP address", name))
		}
	}
	return aggregate(append(errs, o.validateLifetimes())...)
}

// validateDisabled returns an error for each flag that has no effect.
func (o *selfManagedTLSOptions) validateDisabled() error {
	var errs []error
	for _, name := range []string{
		"tls-secret", "webhook-configurations", "tls-dns-names", "tls-lifetime", "tls-ca-lifetime",
	} {
		if setOnCommandLine(o.flags, name) {
			errs = append(errs, fmt.Errorf("--%s has no effect without --self-managed-tls", name))
		}
	}
	return aggregate(errs...)
}

func (o *selfManagedTLSOptions) validateLifetimes() error {
	var errs []error
	if o.lifetime < minLifetime {
		errs = append(errs, flagError(o.flags, "tls-lifetime",
			"%s is too short; want at least %s", o.lifetime, minLifetime))
	}
	if o.caLifetime < minCALifetimes*o.lifetime {
		errs = append(errs, flagError(o.flags, "tls-ca-lifetime",
			"%s is too short; want at least %d times --tls-lifetime, %s", o.caLifetime, minCALifetimes, o.lifetime))
	}
	return aggregate(errs...)
}

// resolveSecret returns the name of the Secret. The default namespace is that of the pod, which the file contains.
func (o *selfManagedTLSOptions) resolveSecret(file string) (types.NamespacedName, error) {
	namespace, name, found := strings.Cut(o.secret, "/")
	if !found {
		name = o.secret
		var err error
		namespace, err = readPodNamespace(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return types.NamespacedName{}, flagError(o.flags, "tls-secret", "must be NAMESPACE/NAME outside a pod")
		case err != nil:
			return types.NamespacedName{}, flagError(o.flags, "tls-secret", "must be NAMESPACE/NAME: %w", err)
		}
	}
	secret := types.NamespacedName{Namespace: namespace, Name: name}
	problems := append(validation.IsDNS1123Label(namespace), validation.IsDNS1123Subdomain(name)...)
	if len(problems) > 0 {
		return secret, flagError(o.flags, "tls-secret", "%q: %s", secret, strings.Join(problems, "; "))
	}
	return secret, nil
}

func (o *selfManagedTLSOptions) newKeeper(
	cluster *clusterOptions, metrics *server.Metrics, log zerolog.Logger,
) (*pki.Controller, error) {
	secret, err := o.resolveSecret(podNamespaceFile)
	if err != nil {
		return nil, err
	}
	config, err := cluster.newConfig()
	if err != nil {
		return nil, err
	}
	options, err := newKeeperClients(config, secret.Namespace)
	if err != nil {
		return nil, err
	}
	options.Secret = secret
	options.Configurations = o.configurations
	options.Names = o.names
	if len(options.Names) == 0 {
		options.Names = []string{"sidecar-injector." + secret.Namespace + ".svc"}
	}
	options.Lifetime, options.CALifetime = o.lifetime, o.caLifetime
	options.Log, options.Observe = log, metrics.CertificateLoaded
	return pki.New(options), nil
}

// newKeeperClients returns options that contain only the clients.
func newKeeperClients(config *rest.Config, namespace string) (options pki.Options, err error) {
	options.Secrets, err = kube.NewClient(config, kube.Core(), "secrets", namespace,
		func() *corev1.Secret { return new(corev1.Secret) },
		func() *corev1.SecretList { return new(corev1.SecretList) })
	if err != nil {
		return options, err
	}
	admission := kube.Group{
		Version: admissionregistrationv1.SchemeGroupVersion, Add: admissionregistrationv1.AddToScheme,
	}
	options.Mutating, err = kube.NewClient(config, admission, "mutatingwebhookconfigurations", "",
		func() *admissionregistrationv1.MutatingWebhookConfiguration {
			return new(admissionregistrationv1.MutatingWebhookConfiguration)
		},
		func() *admissionregistrationv1.MutatingWebhookConfigurationList {
			return new(admissionregistrationv1.MutatingWebhookConfigurationList)
		})
	if err != nil {
		return options, err
	}
	options.Validating, err = kube.NewClient(config, admission, "validatingwebhookconfigurations", "",
		func() *admissionregistrationv1.ValidatingWebhookConfiguration {
			return new(admissionregistrationv1.ValidatingWebhookConfiguration)
		},
		func() *admissionregistrationv1.ValidatingWebhookConfigurationList {
			return new(admissionregistrationv1.ValidatingWebhookConfigurationList)
		})
	return options, err
}
