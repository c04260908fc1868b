package pki_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/rs/zerolog"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"k8s-sidecar-injector/pki"
)

const (
	namespace = "sidecar-injector"
	name      = "tls"
	host      = "sidecar-injector.sidecar-injector.svc"
	lifetime  = 90 * time.Hour
	caLife    = 300 * time.Hour
)

// world is an API server with the webhook configurations, in a bubble of time of its own. The
// fake that client-go has knows nothing of optimistic concurrency: writes are done here.
type world struct {
	*testing.T
	client *fake.Clientset

	mu      sync.Mutex
	version int
	refuse  map[string]error // what writes to a resource are answered with
	writes  int
	history []publication
}

// publication is a bundle that the first webhook got.
type publication struct {
	at     time.Time
	bundle []byte
}

// lag is how late an API server may learn of a new caBundle here.
const lag = 50 * time.Second

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, refuse: make(map[string]error), client: fake.NewClientset(
		&admissionregistrationv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "injector", ResourceVersion: "1"},
			Webhooks:   []admissionregistrationv1.MutatingWebhook{{Name: "a"}, {Name: "b"}},
		},
		&admissionregistrationv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "injector", ResourceVersion: "1"},
			Webhooks:   []admissionregistrationv1.ValidatingWebhook{{Name: "c"}},
		})}
	w.client.PrependReactor("update", "*", w.write)
	w.client.PrependReactor("patch", "*", w.write)
	return w
}

func (w *world) write(action clienttesting.Action) (handled bool, result runtime.Object, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.refuse[action.GetResource().Resource]; err != nil {
		return true, nil, err
	}
	w.writes++
	var object runtime.Object
	switch action := action.(type) {
	case clienttesting.UpdateActionImpl:
		object = action.Object
	case clienttesting.PatchActionImpl:
		if object, err = w.patched(action); err != nil {
			return true, nil, err
		}
	}
	if err := w.put(action, object); err != nil {
		return true, nil, err
	}
	if c, ok := object.(*admissionregistrationv1.MutatingWebhookConfiguration); ok {
		w.history = append(w.history, publication{time.Now(), c.Webhooks[0].ClientConfig.CABundle})
	}
	return true, object, nil
}

// bundleAt is the bundle that the first webhook had at a time, nil if it had none.
func (w *world) bundleAt(at time.Time) (bundle []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.history {
		if !p.at.After(at) {
			bundle = p.bundle
		}
	}
	return bundle
}

// patched gives an object after a patch, with the version that the patch was meant for.
func (w *world) patched(action clienttesting.PatchActionImpl) (runtime.Object, error) {
	current, err := w.client.Tracker().Get(action.GetResource(), action.GetNamespace(), action.GetName())
	if action.PatchType == types.ApplyPatchType {
		if apierrors.IsNotFound(err) {
			w.version++
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
				Namespace: action.GetNamespace(), Name: action.GetName(), ResourceVersion: fmt.Sprint(w.version),
			}}
			return secret, w.client.Tracker().Create(action.GetResource(), secret, action.GetNamespace())
		}
		return current, err
	}
	if err != nil {
		return nil, err
	}
	before, err := json.Marshal(current)
	if err != nil {
		return nil, err
	}
	patch, err := jsonpatch.DecodePatch(action.Patch)
	if err != nil {
		return nil, err
	}
	after, err := patch.Apply(before)
	if err != nil {
		return nil, err
	}
	object := current.DeepCopyObject()
	return object, json.Unmarshal(after, object)
}

// put stores an object unless it is based on an old version.
func (w *world) put(action clienttesting.Action, object runtime.Object) error {
	meta, _ := object.(metav1.Object)
	current, err := w.client.Tracker().Get(action.GetResource(), action.GetNamespace(), meta.GetName())
	if err != nil {
		return err
	}
	if now, _ := current.(metav1.Object); now.GetResourceVersion() != meta.GetResourceVersion() {
		return apierrors.NewConflict(action.GetResource().GroupResource(), meta.GetName(), errors.New("an old version"))
	}
	w.version++
	meta.SetResourceVersion(fmt.Sprint(w.version))
	return w.client.Tracker().Update(action.GetResource(), object, action.GetNamespace())
}

// refusing has every write to a resource answered so; nil ends it.
func (w *world) refusing(resource string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse[resource] = err
}

func (w *world) written() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes
}

// replica starts a keeper, until stop is called.
func (w *world) replica(change func(*pki.Options)) (keeper *pki.Keeper, stop func()) {
	w.Helper()
	options := pki.Options{
		Secrets:        w.client.CoreV1().Secrets(namespace),
		Mutating:       w.client.AdmissionregistrationV1().MutatingWebhookConfigurations(),
		Validating:     w.client.AdmissionregistrationV1().ValidatingWebhookConfigurations(),
		Secret:         types.NamespacedName{Namespace: namespace, Name: name},
		Configurations: []string{"injector", "absent"},
		Names:          []string{host, "127.0.0.1"},
		Lifetime:       lifetime, CALifetime: caLife,
		Log: zerolog.New(zerolog.NewTestWriter(w.T)).Level(zerolog.WarnLevel),
	}
	if change != nil {
		change(&options)
	}
	keeper = pki.New(options)
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	return keeper, func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("Run: %v", err)
		}
	}
}

// secret is the Secret as it is now, nil if there is none.
func (w *world) secret() *corev1.Secret {
	w.Helper()
	secret, err := w.client.CoreV1().Secrets(namespace).Get(w.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	must(w.T, err)
	return secret
}

// edit changes the Secret as a person would.
func (w *world) edit(change func(*corev1.Secret)) {
	w.Helper()
	secret := w.secret()
	change(secret)
	_, err := w.client.CoreV1().Secrets(namespace).Update(w.Context(), secret, metav1.UpdateOptions{})
	must(w.T, err)
}

// overwriteBundle overwrites the caBundle of the second webhook as a person would.
func (w *world) overwriteBundle(bundle []byte) {
	w.Helper()
	configurations := w.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	c, err := configurations.Get(w.Context(), "injector", metav1.GetOptions{})
	must(w.T, err)
	c.Webhooks[1].ClientConfig.CABundle = bundle
	_, err = configurations.Update(w.Context(), c, metav1.UpdateOptions{})
	must(w.T, err)
}

func (w *world) remove() {
	w.Helper()
	must(w.T, w.client.CoreV1().Secrets(namespace).Delete(w.Context(), name, metav1.DeleteOptions{}))
}

// bundles are those of all webhooks.
func (w *world) bundles() [][]byte {
	w.Helper()
	mutating, err := w.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(w.Context(), "injector", metav1.GetOptions{})
	must(w.T, err)
	validating, err := w.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(w.Context(), "injector", metav1.GetOptions{})
	must(w.T, err)
	return [][]byte{mutating.Webhooks[0].ClientConfig.CABundle, mutating.Webhooks[1].ClientConfig.CABundle, validating.Webhooks[0].ClientConfig.CABundle}
}

// leaf is the certificate that a replica serves.
func leaf(t *testing.T, keeper *pki.Keeper) *x509.Certificate {
	t.Helper()
	certificate, err := keeper.GetCertificate(&tls.ClientHelloInfo{})
	must(t, err)
	return certificate.Leaf
}

// trusted checks that a client with that bundle takes what a replica serves.
func trusted(t *testing.T, keeper *pki.Keeper, bundle []byte) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	if _, err := leaf(t, keeper).Verify(x509.VerifyOptions{Roots: pool, DNSName: host}); err != nil {
		t.Errorf("at %s: %v", time.Now(), err)
	}
}

// consistent checks that every replica serves what every webhook trusts.
func (w *world) consistent(replicas ...*pki.Keeper) {
	w.Helper()
	for _, replica := range replicas {
		for _, bundle := range w.bundles() {
			trusted(w.T, replica, bundle)
		}
	}
}

// pass lets time go by, and everybody do what there is to do.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func decode(t *testing.T, bundle []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(bundle)
	certificate, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return certificate
}

func within(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if (got - want).Abs() > 5*time.Second {
		t.Errorf("%s is %s, want %s", what, got, want)
	}
}

func pemBlock(kind string, content []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
}

// foreignCA makes a CA that somebody else might have; without a curve its key is of RSA.
func foreignCA(curve elliptic.Curve, valid time.Duration) (certificate, key []byte) {
	var private crypto.Signer
	if curve != nil {
		private, _ = ecdsa.GenerateKey(curve, rand.Reader)
	} else {
		private, _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "foreign"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, _ := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	encoded, _ := x509.MarshalPKCS8PrivateKey(private)
	return pemBlock("CERTIFICATE", der), pemBlock("PRIVATE KEY", encoded)
}

// forClients makes a Secret that is right in all but what its certificate is for.
func forClients() map[string][]byte {
	ca, caKey := foreignCA(elliptic.P256(), 10*365*24*time.Hour)
	pair, _ := tls.X509KeyPair(ca, caKey)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, _ := x509.CreateCertificate(rand.Reader, template, pair.Leaf, key.Public(), pair.PrivateKey)
	encoded, _ := x509.MarshalPKCS8PrivateKey(key)
	return map[string][]byte{"ca.crt": ca, "ca.key": caKey, "tls.crt": pemBlock("CERTIFICATE", der), "tls.key": pemBlock("PRIVATE KEY", encoded)}
}
