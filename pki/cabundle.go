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

// These limit the writes to a configuration if another client keeps overwriting the caBundle. A rotation needs two.
const (
	writesPerSecond = 0.2
	writeBurst      = 10
)

// configuration is a webhook configuration whose caBundle is reconciled. The object need not exist.
type configuration struct {
	*kube.Informer[webhooks]
	name   string
	patch  func(ctx context.Context, patch []byte) error
	writes flowcontrol.RateLimiter
	agreed []byte // the latest bundle that was found in all webhooks
}

// webhooks are the webhooks of a configuration. The zero value has none.
type webhooks struct {
	resourceVersion string
	caBundles       [][]byte // of each webhook
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

// webhooks returns the webhooks, none if the configuration does not exist.
func (c *configuration) webhooks() webhooks {
	w, _ := c.Get(c.name)
	return w
}

// publish writes the bundle to the webhooks that have another caBundle, and reports whether all had it already. It
// uses a patch, because an update would drop fields that our API types lack. The patch has the resourceVersion, so it
// fails if the configuration has changed since it was read.
func (c *configuration) publish(ctx context.Context, bundle []byte, log zerolog.Logger) (current bool, err error) {
	if !c.HasSynced() {
		return false, nil
	}
	w := c.webhooks()
	operations := []map[string]any{{"op": "replace", "path": "/metadata/resourceVersion", "value": w.resourceVersion}}
	foreign := false // whether a webhook has another caBundle
	for i, caBundle := range w.caBundles {
		if !bytes.Equal(caBundle, bundle) {
			foreign = foreign || len(caBundle) > 0
			path := fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i)
			operations = append(operations, map[string]any{"op": "add", "path": path, "value": bundle})
		}
	}
	outdated := len(operations) - 1
	if outdated == 0 {
		if len(w.caBundles) > 0 {
			c.agreed = bundle
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
	if foreign && bytes.Equal(c.agreed, bundle) {
		level, message = zerolog.WarnLevel, "caBundle repaired: another client had changed it"
	}
	log.WithLevel(level).Stringer("configuration", c).Int("webhooks", outdated).Msg(message)
	return false, nil
}
