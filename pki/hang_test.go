package pki_test

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/pki"
)

type secretClient = pki.Client[*corev1.Secret, *corev1.SecretList]

// hangingSecrets is a client of Secrets whose lists get no response until over is set.
type hangingSecrets struct {
	secretClient
	over atomic.Bool
}

func (h *hangingSecrets) List(ctx context.Context, options metav1.ListOptions) (*corev1.SecretList, error) {
	if !h.over.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.secretClient.List(ctx, options)
}

// A list without a response is logged once and is a reason for not being ready. Nothing is written before the
// Secret was listed.
func TestSecretListHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		var log bytes.Buffer
		client := new(hangingSecrets)
		controller, _ := api.startReplica(func(o *pki.Options) {
			client.secretClient, o.Secrets = o.Secrets, client
			o.Log = zerolog.New(&log).Level(zerolog.ErrorLevel)
		})
		advance(4 * time.Minute)
		const want = "cannot list secret sidecar-injector/tls: no response in time"
		wantPending(t, controller, want)
		if err := controller.Err(); err == nil || err.Error() != want {
			t.Errorf("Err returns %v", err)
		}
		if lines := log.String(); strings.Count(lines, "\n") != 1 || !strings.Contains(lines, want) {
			t.Errorf("logged:\n%s", lines)
		}
		if api.writeCount() != 0 {
			t.Errorf("%d writes", api.writeCount())
		}
		client.over.Store(true)
		advance(2 * time.Minute)
		api.wantConsistent(controller)
		wantPending(t, controller)
		if err := controller.Err(); err != nil {
			t.Errorf("Err returns %v", err)
		}
	})
}
