package pki

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/rs/zerolog"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"

	"k8s-sidecar-injector/kube"
)

// A rotation writes each configuration twice. The limit ends a fight with another writer of the caBundle.
const (
	writesPerSecond = 0.2
	writeBurst      = 10
)

// configuration is a webhook configuration whose caBundle is reconciled. It need not exist.
type configuration struct {
	*kube.Informer[webhooks]
	name   string
	patch  func(ctx context.Context, patch []byte) error
	writes flowcontrol.RateLimiter
	latest []byte // the bundle that all webhooks had the last time that they had the same
}

// webhooks are the webhooks of a configuration.
type webhooks struct {
	resourceVersion string
	caBundles       [][]byte
}

func newConfiguration[T kube.Object, L kube.List](
	kind, name string, client Client[T, L], keep func(T) webhooks, log zerolog.Logger,
) *configuration {
	return &configuration{
		Informer: newInformer(client, kind+" "+name, name, keep, log),
		name:     name,
		patch: func(ctx context.Context, patch []byte) error {
			options := metav1.PatchOptions{FieldManager: fieldManager}
			_, err := client.Patch(ctx, name, types.JSONPatchType, patch, options)
			return err
		},
		writes: flowcontrol.NewTokenBucketRateLimiter(writesPerSecond, writeBurst),
	}
}

func mutatingWebhooks(c *admissionregistrationv1.MutatingWebhookConfiguration) webhooks {
	w := webhooks{resourceVersion: c.ResourceVersion}
	for _, webhook := range c.Webhooks {
		w.caBundles = append(w.caBundles, webhook.ClientConfig.CABundle)
	}
	return w
}

func validatingWebhooks(c *admissionregistrationv1.ValidatingWebhookConfiguration) webhooks {
	w := webhooks{resourceVersion: c.ResourceVersion}
	for _, webhook := range c.Webhooks {
		w.caBundles = append(w.caBundles, webhook.ClientConfig.CABundle)
	}
	return w
}

// webhooks returns the webhooks; none if the configuration does not exist.
func (c *configuration) webhooks() webhooks {
	w, _ := c.Get(c.name)
	return w
}

// publish writes the bundle to the webhooks with another caBundle, and reports whether there were none. A patch
// keeps fields that our API types lack. It fails if the configuration has changed since it was read.
func (c *configuration) publish(ctx context.Context, bundle []byte, log zerolog.Logger) (current bool, err error) {
	if !c.HasSynced() {
		return false, nil
	}
	w := c.webhooks()
	operations := []map[string]any{{"op": "replace", "path": "/metadata/resourceVersion", "value": w.resourceVersion}}
	for i, caBundle := range w.caBundles {
		if !bytes.Equal(caBundle, bundle) {
			path := fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i)
			operations = append(operations, map[string]any{"op": "add", "path": path, "value": bundle})
		}
	}
	outdated := len(operations) - 1
	if outdated == 0 {
		if len(w.caBundles) > 0 {
			c.latest = bundle
		}
		return true, nil
	}
	if !c.writes.TryAccept() {
		return false, fmt.Errorf("the caBundle of %s is overwritten again and again; "+
			"its managedFields name the other writer", c)
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return false, err
	}
	if err := c.patch(ctx, patch); err != nil {
		return false, fmt.Errorf("patching the caBundle of %s: %w", c, kube.Explain(err, grant))
	}
	level, message := zerolog.InfoLevel, "caBundle written"
	if bytes.Equal(c.latest, bundle) {
		level, message = zerolog.WarnLevel, "caBundle repaired: another client had changed it"
	}
	log.WithLevel(level).Stringer("configuration", c).Int("webhooks", outdated).Msg(message)
	return false, nil
}
