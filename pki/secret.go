package pki

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"k8s-sidecar-injector/kube"
)

// fieldManager names this program in managedFields.
const fieldManager = "k8s-sidecar-injector"

// grant names the RBAC rules of a Controller.
const grant = "the RBAC rules in docs/tls.md"

// write writes the next state to the Secret, and logs the change. secret is nil if the Secret does not exist, and
// invalid is why its content is replaced. If another replica wrote first, the error is a conflict.
func (c *Controller) write(
	ctx context.Context, secret *corev1.Secret, next *state, change string, invalid error,
) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	data, err := next.encode()
	if err != nil {
		return err
	}
	if secret == nil {
		if secret, err = c.create(ctx); err != nil {
			return fmt.Errorf("creating secret %s: %w", c.options.Secret, kube.Explain(err, grant))
		}
	}
	updated := secret.DeepCopy()
	if updated.Data == nil {
		updated.Data = make(map[string][]byte, len(data))
	}
	maps.Copy(updated.Data, data)
	if _, err = c.options.Secrets.Update(ctx, updated, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
		return fmt.Errorf("updating secret %s: %w", c.options.Secret, kube.Explain(err, grant))
	}
	level := zerolog.InfoLevel
	if invalid != nil && !errors.Is(invalid, errEmpty) {
		level = zerolog.WarnLevel
	}
	c.options.Log.WithLevel(level).Stringer("secret", c.options.Secret).
		AnErr("found", invalid).
		Time("not_after", next.leaf.Leaf.NotAfter).
		Time("ca_not_after", next.ca.Leaf.NotAfter).
		Int("trusted", 1+len(next.old)).
		Msg("certificates written: " + change)
	return nil
}

// create creates an empty Secret. If replicas do this at the same time, all succeed, and one of them fills it. It
// uses server-side apply, because resourceNames cannot restrict an ordinary create.
func (c *Controller) create(ctx context.Context) (*corev1.Secret, error) {
	name := c.options.Secret
	empty := fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Secret","metadata":{"namespace":%q,"name":%q}}`,
		name.Namespace, name.Name)
	options := metav1.PatchOptions{FieldManager: fieldManager, Force: new(true)}
	secret, err := c.options.Secrets.Patch(ctx, name.Name, types.ApplyPatchType, empty, options)
	if err == nil && len(secret.Data) > 0 {
		err = apierrors.NewConflict(corev1.Resource("secrets"), name.Name, errors.New("another replica has filled it"))
	}
	return secret, err
}

// logCertificate logs the certificate in service, without its key.
func (c *Controller) logCertificate(leaf *x509.Certificate, message string) {
	c.options.Log.Info().
		Stringer("secret", c.options.Secret).
		Strs("names", namesOf(leaf)).
		Time("not_after", leaf.NotAfter).
		Time("renewal", renewal(leaf).Round(time.Second)).
		Str("serial", leaf.SerialNumber.Text(16)).
		Str("fingerprint", fmt.Sprintf("%x", sha256.Sum256(leaf.Raw))).
		Msg(message)
}
