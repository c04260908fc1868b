package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/pki"
	"k8s-sidecar-injector/server"
)

// selfManagedFlags are about certificates that the program keeps by itself.
type selfManagedFlags struct {
	flagSet
	selfManaged    bool
	secret         string
	configurations []string
	names          []string
	lifetime       time.Duration
	caLifetime     time.Duration
}

// Shorter lives than these leave no time to spread a CA; a CA has to live on for as long as the
// last certificate that it signed.
const (
	leastLifetime = 10 * time.Second
	leastCALives  = 3
)

func (s *selfManagedFlags) define(flags flagSet) {
	s.flagSet = flags
	flags.BoolVar(&s.selfManaged, "self-managed-tls", false, "keep a CA and a serving certificate in a Secret that all replicas share, and the webhook configurations' caBundle current")
	flags.env("self-managed-tls", "SELF_MANAGED_TLS")
	flags.StringVar(&s.secret, "tls-secret", "sidecar-injector-tls", "that Secret, as NAME in the pod's own namespace, or NAMESPACE/NAME")
	flags.env("tls-secret", "TLS_SECRET")
	flags.StringSliceVar(&s.configurations, "webhook-configurations", []string{"sidecar-injector"}, "names of the mutating and validating webhook configurations whose caBundle is kept current, in all of their webhooks")
	flags.env("webhook-configurations", "WEBHOOK_CONFIGURATIONS")
	flags.StringSliceVar(&s.names, "tls-dns-names", nil, "DNS names and IP addresses of the serving certificate (default sidecar-injector.NAMESPACE.svc, with the namespace of the Secret)")
	flags.env("tls-dns-names", "TLS_DNS_NAMES")
	flags.DurationVar(&s.lifetime, "tls-lifetime", 90*24*time.Hour, "lifetime of a serving certificate; it is renewed at two thirds of it")
	flags.env("tls-lifetime", "TLS_LIFETIME")
	flags.DurationVar(&s.caLifetime, "tls-ca-lifetime", 5*365*24*time.Hour, "lifetime of a CA, at least three times as long; it is renewed at two thirds of it")
	flags.env("tls-ca-lifetime", "TLS_CA_LIFETIME")
}

// check finds values that cannot be, and flags that mean nothing.
func (s *selfManagedFlags) check() error {
	var faults *multierror.Error
	if !s.selfManaged {
		for _, name := range []string{"tls-secret", "webhook-configurations", "tls-dns-names", "tls-lifetime", "tls-ca-lifetime"} {
			if s.given(name) {
				faults = multierror.Append(faults, fmt.Errorf("--%s means nothing without --self-managed-tls", name))
			}
		}
		return listed(faults)
	}
	_, err := s.secretName(ownNamespaceFile)
	faults = multierror.Append(faults, err)
	for _, name := range s.configurations {
		if why := validation.IsDNS1123Subdomain(name); len(why) > 0 {
			faults = multierror.Append(faults, fmt.Errorf("%s: %q: %s", s.named("webhook-configurations"), name, strings.Join(why, "; ")))
		}
	}
	for _, name := range s.names {
		if why := validation.IsDNS1123Subdomain(name); len(why) > 0 && net.ParseIP(name) == nil {
			faults = multierror.Append(faults, fmt.Errorf("%s: %q is neither a DNS name nor an IP address", s.named("tls-dns-names"), name))
		}
	}
	if s.lifetime < leastLifetime {
		faults = multierror.Append(faults, fmt.Errorf("%s: %s is too short: want at least %s", s.named("tls-lifetime"), s.lifetime, leastLifetime))
	}
	if s.caLifetime < leastCALives*s.lifetime {
		faults = multierror.Append(faults, fmt.Errorf("%s: %s is too short: want at least %d times --tls-lifetime, %s",
			s.named("tls-ca-lifetime"), s.caLifetime, leastCALives, s.lifetime))
	}
	return listed(faults)
}

// secretName is the Secret in full. The file has the namespace of the pod.
func (s *selfManagedFlags) secretName(file string) (types.NamespacedName, error) {
	namespace, name, full := strings.Cut(s.secret, "/")
	if !full {
		name = namespace
		own, err := readOwnNamespace(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return types.NamespacedName{}, fmt.Errorf("%s: give it as NAMESPACE/NAME where there is no pod to have a namespace of its own", s.named("tls-secret"))
		case err != nil:
			return types.NamespacedName{}, fmt.Errorf("%s: give it as NAMESPACE/NAME, as the pod's own namespace cannot be read: %w", s.named("tls-secret"), err)
		}
		namespace = own
	}
	for _, why := range [][]string{validation.IsDNS1123Label(namespace), validation.IsDNS1123Subdomain(name)} {
		if len(why) > 0 {
			return types.NamespacedName{}, fmt.Errorf("%s: %q: %s", s.named("tls-secret"), namespace+"/"+name, strings.Join(why, "; "))
		}
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}

func (s *selfManagedFlags) newKeeper(cluster *clusterFlags, metrics *server.Metrics, log zerolog.Logger) (*pki.Controller, error) {
	secret, err := s.secretName(ownNamespaceFile)
	if err != nil {
		return nil, err
	}
	config, err := cluster.config("self-managed-tls")
	if err != nil {
		return nil, err
	}
	options, err := keeperClients(config, secret.Namespace)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cluster.named("kubeconfig"), err)
	}
	options.Secret = secret
	options.Configurations = s.configurations
	options.Names = s.names
	if len(options.Names) == 0 {
		options.Names = []string{"sidecar-injector." + secret.Namespace + ".svc"}
	}
	options.Lifetime, options.CALifetime = s.lifetime, s.caLifetime
	options.Log, options.Observe = log, metrics.CertificateLoaded
	return pki.New(options), nil
}

// keeperClients gives the options that are clients.
func keeperClients(config *rest.Config, namespace string) (options pki.Options, err error) {
	options.Secrets, err = kube.NewClient(config, kube.Core(), "secrets", namespace,
		func() *corev1.Secret { return new(corev1.Secret) }, func() *corev1.SecretList { return new(corev1.SecretList) })
	if err != nil {
		return options, err
	}
	admission := kube.Group{Version: admissionregistrationv1.SchemeGroupVersion, Add: admissionregistrationv1.AddToScheme}
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
