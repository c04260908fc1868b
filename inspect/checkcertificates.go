package inspect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// served is the certificate of the injector with its chain.
type served struct {
	chain  []*x509.Certificate // not empty
	source string
}

var (
	errNotSecret     = errors.New("the certificate is not in a Secret; run the check in a pod")
	errNoCertificate = errors.New("there is no valid certificate")
)

// readCertificate reads the certificate: with a handshake in a cluster, or else from its Secret.
func (c *checkup) readCertificate(ctx context.Context) (*served, error) {
	own, err := c.forPods()
	if err != nil {
		return nil, err
	}
	if target := own[0].ClientConfig.Service; c.options.InPod && target != nil {
		list, _ := c.services()
		service := serviceOf(list, target.Name)
		if service != nil && net.ParseIP(service.Spec.ClusterIP) != nil {
			return handshake(ctx, net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(int(servicePort(target)))))
		}
	}
	return c.readSecret(ctx)
}

// handshake returns the certificate that is served at the address.
func handshake(ctx context.Context, address string) (*served, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	// The certificate is verified later, with the CAs of each webhook.
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the TLS handshake with %s failed: %w", address, err)
	}
	defer connection.Close()
	chain := connection.(*tls.Conn).ConnectionState().PeerCertificates
	return &served{chain, "served at " + address}, nil
}

// readSecret returns the certificate of the Secret that the injector serves. Only the certificate is kept.
func (c *checkup) readSecret(ctx context.Context) (*served, error) {
	f, err := c.flags()
	if err != nil {
		return nil, err
	}
	name, key := f.Secret, corev1.TLSCertKey
	if name.Name == "" {
		i, _ := c.installation()
		if name, key = i.secretOf(f.CertFile); name.Name == "" {
			return nil, errNotSecret
		}
	}
	var secret struct {
		Data map[string][]byte `json:"data"`
	}
	if err := c.client.get(ctx, secrets(), name.Namespace, name.Name, &secret); err != nil {
		return nil, err
	}
	chain := parseCertificates(secret.Data[key])
	if len(chain) == 0 {
		return nil, fmt.Errorf("key %s of Secret %s: %w", key, name, errNoCertificate)
	}
	return &served{chain, "in Secret " + name.String()}, nil
}

// secretOf returns the Secret and the key that are mounted at a file of the container. The name is empty if there is
// none.
func (i *Installation) secretOf(file string) (name types.NamespacedName, key string) {
	for _, mount := range i.container.VolumeMounts {
		relative, inside := below(i.absolute(file), path.Clean(mount.MountPath))
		at := slices.IndexFunc(i.volumes, func(v corev1.Volume) bool { return v.Name == mount.Name && v.Secret != nil })
		if !inside || at < 0 {
			continue
		}
		volume, key := i.volumes[at].Secret, path.Join(mount.SubPath, relative)
		for _, item := range volume.Items {
			if path.Clean(item.Path) == key {
				key = item.Key
				break
			}
		}
		return types.NamespacedName{Namespace: i.Namespace, Name: volume.SecretName}, key
	}
	return name, ""
}

// parseCertificates returns the valid certificates of a PEM text.
func parseCertificates(text []byte) (certificates []*x509.Certificate) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			certificates = append(certificates, certificate)
		}
	}
	return certificates
}

func (c *checkup) checkBundles(context.Context) outcome {
	own, err := c.own()
	if err != nil {
		return c.unreadable(err)
	}
	var problems []outcome
	for _, w := range own {
		switch bundle := w.ClientConfig.CABundle; {
		case len(bundle) == 0 && w.ClientConfig.Service != nil:
			problems = append(problems, failed("%s: the caBundle is empty", &w))
		case len(bundle) > 0 && len(parseCertificates(bundle)) == 0:
			problems = append(problems, failed("%s: the caBundle has no valid certificate", &w))
		}
	}
	return worst(problems, passed("all webhooks have a caBundle"))
}

func (c *checkup) checkTrust(context.Context) outcome {
	certificate, outcome := c.findCertificate()
	if certificate == nil {
		return outcome
	}
	own, err := c.own()
	if err != nil {
		return c.unreadable(err)
	}
	problems, invalid := certificate.distrust(own)
	otherwise := passed("the certificate %s is trusted by all webhooks", certificate.source)
	if invalid {
		otherwise = skipped("not checked: see certificate-expiry")
	}
	return c.selfManaged(worst(problems, otherwise))
}

// findCertificate returns the certificate, or nil and an outcome.
func (c *checkup) findCertificate() (*served, outcome) {
	certificate, err := c.certificate()
	switch {
	case errors.Is(err, errNotSecret):
		return nil, skipped("%v", err)
	case err != nil:
		return nil, c.selfManaged(c.unreadable(err))
	}
	return certificate, outcome{}
}

// selfManaged returns the outcome with a hint if the injector manages its certificate.
func (c *checkup) selfManaged(o outcome) outcome {
	if f, err := c.flags(); err == nil && f.Secret.Name != "" {
		return o.withHint("the injector writes the certificate and the caBundle: see replicas-ready, and its log")
	}
	return o
}

// distrust verifies the certificate as the API server does for each webhook. It reports whether some do not trust it
// because of the validity of a certificate, which another check reports.
func (s *served) distrust(webhooks []webhook) (problems []outcome, invalid bool) {
	options := x509.VerifyOptions{Intermediates: x509.NewCertPool()}
	for _, certificate := range s.chain[1:] {
		options.Intermediates.AddCert(certificate)
	}
	for _, w := range webhooks {
		target := w.ClientConfig.Service
		if target == nil || len(w.ClientConfig.CABundle) == 0 {
			continue
		}
		options.Roots = x509.NewCertPool()
		options.Roots.AppendCertsFromPEM(w.ClientConfig.CABundle)
		options.DNSName = target.Name + "." + target.Namespace + ".svc"
		_, err := s.chain[0].Verify(options)
		switch {
		case err == nil:
		case slices.ContainsFunc(s.checkDates([]webhook{w}), func(o outcome) bool { return o.status == Failed }):
			invalid = true
		default:
			problems = append(problems, failed("%s does not trust the certificate %s: %v", &w, s.source, err))
		}
	}
	return problems, invalid
}

// maxExpiryWarning is how long before the expiry a warning starts, at most. It is that of the log of the injector.
const maxExpiryWarning = 7 * 24 * time.Hour

func (c *checkup) checkExpiry(context.Context) outcome {
	certificate, outcome := c.findCertificate()
	if certificate == nil {
		return outcome
	}
	own, err := c.own()
	if err != nil {
		return c.unreadable(err)
	}
	return worst(certificate.checkDates(own), checkDates(certificate.chain[0], "the certificate "+certificate.source))
}

// checkDates checks the validity of the chain, and that of the CAs of each caBundle that have issued it. If there are
// several, such as an old and a new one with the same key, one of them must be valid.
func (s *served) checkDates(webhooks []webhook) (problems []outcome) {
	add := func(o outcome) {
		if o.status != Passed && !slices.Contains(problems, o) {
			problems = append(problems, o)
		}
	}
	name := "the certificate " + s.source
	for n, certificate := range s.chain {
		if n == 1 {
			name = "an intermediate of " + name
		}
		add(checkDates(certificate, name))
	}
	for _, w := range webhooks {
		var results []outcome
		for _, ca := range parseCertificates(w.ClientConfig.CABundle) {
			switch {
			case slices.ContainsFunc(s.chain, ca.Equal):
				results = append(results, passed("")) // see above
			case slices.ContainsFunc(s.chain, func(c *x509.Certificate) bool { return c.CheckSignatureFrom(ca) == nil }):
				name := fmt.Sprintf("CA %q in the caBundle of webhook configuration %s", ca.Subject, w.configuration)
				results = append(results, checkDates(ca, name))
			}
		}
		severity := []Status{Passed, Warned, Failed}
		slices.SortStableFunc(results, func(a, b outcome) int {
			return slices.Index(severity, a.status) - slices.Index(severity, b.status)
		})
		if len(results) > 0 {
			add(results[0])
		}
	}
	return problems
}

// checkDates checks the validity of a certificate.
func checkDates(certificate *x509.Certificate, name string) outcome {
	left, lifetime := time.Until(certificate.NotAfter), certificate.NotAfter.Sub(certificate.NotBefore)
	date := certificate.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case time.Until(certificate.NotBefore) > 0:
		return failed("%s is not valid before %s", name, certificate.NotBefore.UTC().Format(time.RFC3339))
	case left <= 0:
		return failed("%s has expired on %s", name, date)
	case left < min(maxExpiryWarning, lifetime/5):
		return warned("%s expires on %s", name, date)
	}
	return passed("%s expires on %s", name, date)
}
