package pki

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/rs/zerolog"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"

	"k8s-sidecar-injector/kube"
)

// configuration is a webhook configuration whose caBundle is kept. There may be none of that
// name, which is nothing to complain of: it is taken care of when it comes.
type configuration struct {
	*followed
	webhooks func(object any) []admissionregistrationv1.WebhookClientConfig
	patch    func(ctx context.Context, patch []byte) error
	writes   flowcontrol.RateLimiter
}

// A rotation takes two writes; somebody who writes the caBundle too would have us write without end.
const (
	writesPerSecond = 0.2
	writesAtOnce    = 10
)

func (k *Keeper) mutating(name string) *configuration {
	webhooks := func(c *admissionregistrationv1.MutatingWebhookConfiguration) (configs []admissionregistrationv1.WebhookClientConfig) {
		for _, w := range c.Webhooks {
			configs = append(configs, w.ClientConfig)
		}
		return configs
	}
	return keep("mutatingwebhookconfiguration", name, k.options.Mutating, webhooks, k.options.Log)
}

func (k *Keeper) validating(name string) *configuration {
	webhooks := func(c *admissionregistrationv1.ValidatingWebhookConfiguration) (configs []admissionregistrationv1.WebhookClientConfig) {
		for _, w := range c.Webhooks {
			configs = append(configs, w.ClientConfig)
		}
		return configs
	}
	return keep("validatingwebhookconfiguration", name, k.options.Validating, webhooks, k.options.Log)
}

// keep makes a configuration of any kind. The function gives what its webhooks have to be called by.
func keep[T runtime.Object, L kube.List](kind, name string, c client[T, L], webhooks func(T) []admissionregistrationv1.WebhookClientConfig, log zerolog.Logger) *configuration {
	return &configuration{
		followed: follow(kind+" "+name, name, c, log),
		webhooks: func(object any) []admissionregistrationv1.WebhookClientConfig {
			if found, ok := object.(T); ok {
				return webhooks(found)
			}
			return nil
		},
		patch: func(ctx context.Context, patch []byte) error {
			_, err := c.Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
			return err
		},
		writes: flowcontrol.NewTokenBucketRateLimiter(writesPerSecond, writesAtOnce),
	}
}

// lacking are the webhooks, by index, that do not have the bundle.
func (c *configuration) lacking(bundle []byte) []int {
	var found []int
	for i, config := range c.webhooks(c.object()) {
		if !bytes.Equal(config.CABundle, bundle) {
			found = append(found, i)
		}
	}
	return found
}

// operation is one of a JSON Patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// publish puts the bundle into the webhooks that lack it. It is a patch, so that fields which our
// API types do not know survive, and it goes through only on the version that we have read.
func (c *configuration) publish(ctx context.Context, bundle []byte, log zerolog.Logger) error {
	lacking := c.lacking(bundle)
	if len(lacking) == 0 {
		return nil
	}
	if !c.writes.TryAccept() {
		return fmt.Errorf("the caBundle of %s is overwritten over and over: see its managedFields for who does it, and leave it to one of us", c.what)
	}
	object, _ := c.object().(metav1.Object)
	operations := []operation{{"replace", "/metadata/resourceVersion", object.GetResourceVersion()}}
	for _, i := range lacking {
		operations = append(operations, operation{"add", fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i), bundle})
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return err
	}
	if err := c.patch(ctx, patch); err != nil {
		return fmt.Errorf("patching the caBundle of %s: %w", c.what, kube.Explain(err, grant))
	}
	log.Info().Str("configuration", c.what).Int("webhooks", len(lacking)).Msg("caBundle written")
	return nil
}
