package pki

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
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

// fieldManager is by what name the API server knows who wrote a field.
const fieldManager = "k8s-sidecar-injector"

// grant names the RBAC rules that a Keeper needs.
const grant = "the roles in docs/tls.md"

var errAbsent = errors.New("there is none")

func (k *Keeper) followSecret() *followed {
	return follow("secret "+k.options.Secret.String(), k.options.Secret.Name, k.options.Secrets, k.options.Log)
}

// write stores a state in the Secret. If another replica wrote first, the error is a conflict.
func (k *Keeper) write(ctx context.Context, secret *corev1.Secret, next *state, why string, fault error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	data, err := next.encode()
	if err != nil {
		return err
	}
	if secret == nil {
		if secret, err = k.create(ctx); err != nil {
			return fmt.Errorf("creating secret %s: %w", k.options.Secret, kube.Explain(err, grant))
		}
	}
	updated := secret.DeepCopy()
	if updated.Data == nil {
		updated.Data = make(map[string][]byte, len(data))
	}
	maps.Copy(updated.Data, data)
	if _, err = k.options.Secrets.Update(ctx, updated, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
		return fmt.Errorf("updating secret %s: %w", k.options.Secret, kube.Explain(err, grant))
	}
	level := zerolog.InfoLevel
	if fault != nil && !errors.Is(fault, errAbsent) && !errors.Is(fault, errEmpty) {
		level = zerolog.WarnLevel
	}
	k.options.Log.WithLevel(level).Stringer("secret", k.options.Secret).
		AnErr("found", fault).
		Time("not_after", next.leaf.Leaf.NotAfter).
		Time("ca_not_after", next.trusted[0].NotAfter).
		Int("trusted", len(next.trusted)).
		Msg("certificates written: " + why)
	return nil
}

// create makes the Secret without content, which is the same whoever does it. It is applied, not
// created, because RBAC can grant the creation of a single name to no other request.
func (k *Keeper) create(ctx context.Context) (*corev1.Secret, error) {
	name := k.options.Secret
	empty := fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Secret","metadata":{"namespace":%q,"name":%q}}`, name.Namespace, name.Name)
	secret, err := k.options.Secrets.Patch(ctx, name.Name, types.ApplyPatchType, empty, metav1.PatchOptions{FieldManager: fieldManager, Force: new(true)})
	if err == nil && len(secret.Data) > 0 {
		err = apierrors.NewConflict(corev1.Resource("secrets"), name.Name, errors.New("another replica was faster"))
	}
	return secret, err
}

// say describes the certificate in service; of the key it says nothing.
func (k *Keeper) say(leaf *x509.Certificate, message string) {
	fingerprint := sha256.Sum256(leaf.Raw)
	k.options.Log.Info().
		Stringer("secret", k.options.Secret).
		Strs("names", namesOf(leaf)).
		Time("not_after", leaf.NotAfter).
		Time("renewal", renewal(leaf).Round(time.Second)).
		Str("serial", leaf.SerialNumber.Text(16)).
		Str("fingerprint", hex.EncodeToString(fingerprint[:])).
		Msg(message)
}
