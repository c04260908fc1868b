package pki_test

import (
	"bytes"
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
	"slices"
	"strings"
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
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"

	"k8s-sidecar-injector/pki"
)

const (
	namespace = "sidecar-injector"
	name      = "tls"
	host      = "sidecar-injector.sidecar-injector.svc"
	lifetime  = 18 * time.Hour
	caLife    = 60 * time.Hour
)

// fakeAPI is an API server with the webhook configurations. Unlike client-go's fake clientset, it rejects
// writes that are based on an old resource version, and its watches end.
type fakeAPI struct {
	*testing.T
	client  *fake.Clientset
	tracker clienttesting.ObjectTracker

	mu        sync.Mutex
	version   int
	writeErrs map[string]error // by resource
	writes    int
	history   []publication
}

// publication is a caBundle of the first webhook.
type publication struct {
	at     time.Time
	bundle []byte
}

// lag is how long an API server takes to use a new caBundle.
const lag = 50 * time.Second

func newFakeAPI(t *testing.T) *fakeAPI {
	t.Helper()
	api := &fakeAPI{
		T: t, writeErrs: make(map[string]error), client: new(fake.Clientset),
		tracker: clienttesting.NewObjectTracker(scheme.Scheme, scheme.Codecs.UniversalDecoder()),
	}
	must(t, api.tracker.Add(&admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "injector", ResourceVersion: "1"},
		Webhooks:   []admissionregistrationv1.MutatingWebhook{{Name: "a"}, {Name: "b"}},
	}))
	must(t, api.tracker.Add(&admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "injector", ResourceVersion: "1"},
		Webhooks:   []admissionregistrationv1.ValidatingWebhook{{Name: "c"}},
	}))
	api.client.AddReactor("update", "*", api.write)
	api.client.AddReactor("patch", "*", api.write)
	api.client.AddReactor("*", "*", clienttesting.ObjectReaction(api.tracker))
	api.client.AddWatchReactor("*", api.watch)
	return api
}

// watch opens a watch that ends after the timeout of the request. It begins with the object if that has changed
// since the requested version, because the tracker does not keep events between two watches.
func (api *fakeAPI) watch(action clienttesting.Action) (handled bool, stream watch.Interface, err error) {
	options := action.(clienttesting.WatchActionImpl).ListOptions //nolint:forcetypeassert // watches have no other type
	stream, err = api.tracker.Watch(action.GetResource(), action.GetNamespace(), options)
	if err != nil {
		return true, nil, err
	}
	time.AfterFunc(time.Duration(*options.TimeoutSeconds)*time.Second, stream.Stop)
	selected := strings.TrimPrefix(options.FieldSelector, "metadata.name=")
	object, err := api.tracker.Get(action.GetResource(), action.GetNamespace(), selected)
	if err != nil {
		return true, stream, nil //nolint:nilerr // there is no such object
	}
	if meta, _ := object.(metav1.Object); meta.GetResourceVersion() != options.ResourceVersion {
		stream.(*watch.RaceFreeFakeWatcher).Modify(object)
	}
	return true, stream, nil
}

// write handles an update or a patch.
func (api *fakeAPI) write(action clienttesting.Action) (handled bool, result runtime.Object, err error) {
	api.mu.Lock()
	defer api.mu.Unlock()
	if err := api.writeErrs[action.GetResource().Resource]; err != nil {
		return true, nil, err
	}
	api.writes++
	var object runtime.Object
	switch action := action.(type) {
	case clienttesting.UpdateActionImpl:
		object = action.Object
	case clienttesting.PatchActionImpl:
		if object, err = api.patched(action); err != nil {
			return true, nil, err
		}
	}
	if err := api.put(action, object); err != nil {
		return true, nil, err
	}
	if c, ok := object.(*admissionregistrationv1.MutatingWebhookConfiguration); ok {
		api.history = append(api.history, publication{time.Now(), c.Webhooks[0].ClientConfig.CABundle})
	}
	return true, object, nil
}

// bundleAt returns the bundle of the first webhook at that time, nil if it had none.
func (api *fakeAPI) bundleAt(at time.Time) (bundle []byte) {
	api.mu.Lock()
	defer api.mu.Unlock()
	for _, p := range api.history {
		if !p.at.After(at) {
			bundle = p.bundle
		}
	}
	return bundle
}

// patched returns the patched object, with the resource version that the patch requires.
func (api *fakeAPI) patched(action clienttesting.PatchActionImpl) (runtime.Object, error) {
	current, err := api.tracker.Get(action.GetResource(), action.GetNamespace(), action.GetName())
	if action.PatchType == types.ApplyPatchType {
		if apierrors.IsNotFound(err) {
			api.version++
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
				Namespace: action.GetNamespace(), Name: action.GetName(), ResourceVersion: fmt.Sprint(api.version),
			}}
			return secret, api.tracker.Create(action.GetResource(), secret, action.GetNamespace())
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

// put stores an object unless its resource version is old.
func (api *fakeAPI) put(action clienttesting.Action, object runtime.Object) error {
	meta, _ := object.(metav1.Object)
	current, err := api.tracker.Get(action.GetResource(), action.GetNamespace(), meta.GetName())
	if err != nil {
		return err
	}
	if now, _ := current.(metav1.Object); now.GetResourceVersion() != meta.GetResourceVersion() {
		resource := action.GetResource().GroupResource()
		return apierrors.NewConflict(resource, meta.GetName(), errors.New("the object has been modified"))
	}
	api.version++
	meta.SetResourceVersion(fmt.Sprint(api.version))
	return api.tracker.Update(action.GetResource(), object, action.GetNamespace())
}

// failWrites makes every write to a resource return this error; nil ends this.
func (api *fakeAPI) failWrites(resource string, err error) {
	api.mu.Lock()
	defer api.mu.Unlock()
	api.writeErrs[resource] = err
}

func (api *fakeAPI) writeCount() int {
	api.mu.Lock()
	defer api.mu.Unlock()
	return api.writes
}

// startReplica runs a controller until stop is called or the test ends.
func (api *fakeAPI) startReplica(change func(*pki.Options)) (controller *pki.Controller, stop func()) {
	api.Helper()
	options := pki.Options{
		Secrets:        api.client.CoreV1().Secrets(namespace),
		Mutating:       api.client.AdmissionregistrationV1().MutatingWebhookConfigurations(),
		Validating:     api.client.AdmissionregistrationV1().ValidatingWebhookConfigurations(),
		Secret:         types.NamespacedName{Namespace: namespace, Name: name},
		Configurations: []string{"injector"},
		Names:          []string{host, "127.0.0.1"},
		Lifetime:       lifetime, CALifetime: caLife,
		Observe: func(bool, time.Time) {},
		Log:     zerolog.New(zerolog.NewTestWriter(api.T)).Level(zerolog.WarnLevel),
	}
	if change != nil {
		change(&options)
	}
	controller = pki.New(options)
	ctx, cancel := context.WithCancel(api.Context())
	done := make(chan error, 1)
	go func() { done <- controller.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			api.Errorf("Run: %v", err)
		}
	})
	api.Cleanup(stop)
	return controller, stop
}

// secret returns the Secret, nil if it does not exist.
func (api *fakeAPI) secret() *corev1.Secret {
	api.Helper()
	secret, err := api.client.CoreV1().Secrets(namespace).Get(api.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	must(api.T, err)
	return secret
}

// editSecret updates the Secret as a user would.
func (api *fakeAPI) editSecret(change func(*corev1.Secret)) {
	api.Helper()
	secret := api.secret()
	change(secret)
	_, err := api.client.CoreV1().Secrets(namespace).Update(api.Context(), secret, metav1.UpdateOptions{})
	must(api.T, err)
}

// overwriteBundle sets the caBundle of the second webhook as a user would.
func (api *fakeAPI) overwriteBundle(bundle []byte) {
	api.Helper()
	configurations := api.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	c, err := configurations.Get(api.Context(), "injector", metav1.GetOptions{})
	must(api.T, err)
	c.Webhooks[1].ClientConfig.CABundle = bundle
	_, err = configurations.Update(api.Context(), c, metav1.UpdateOptions{})
	must(api.T, err)
}

func (api *fakeAPI) deleteSecret() {
	api.Helper()
	must(api.T, api.client.CoreV1().Secrets(namespace).Delete(api.Context(), name, metav1.DeleteOptions{}))
}

// bundles returns the caBundle of each webhook.
func (api *fakeAPI) bundles() [][]byte {
	api.Helper()
	client := api.client.AdmissionregistrationV1()
	mutating, err := client.MutatingWebhookConfigurations().Get(api.Context(), "injector", metav1.GetOptions{})
	must(api.T, err)
	validating, err := client.ValidatingWebhookConfigurations().Get(api.Context(), "injector", metav1.GetOptions{})
	must(api.T, err)
	return [][]byte{
		mutating.Webhooks[0].ClientConfig.CABundle, mutating.Webhooks[1].ClientConfig.CABundle,
		validating.Webhooks[0].ClientConfig.CABundle,
	}
}

// servedLeaf returns the certificate that a replica serves.
func servedLeaf(t *testing.T, controller *pki.Controller) *x509.Certificate {
	t.Helper()
	certificate, err := controller.GetCertificate(&tls.ClientHelloInfo{})
	must(t, err)
	return certificate.Leaf
}

// wantTrusted checks that a client with this bundle accepts the certificate of a replica.
func wantTrusted(t *testing.T, controller *pki.Controller, bundle []byte) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	if _, err := servedLeaf(t, controller).Verify(x509.VerifyOptions{Roots: pool, DNSName: host}); err != nil {
		t.Errorf("at %s: %v", time.Now(), err)
	}
}

// wantConsistent checks that every webhook trusts the certificate of every replica.
func (api *fakeAPI) wantConsistent(replicas ...*pki.Controller) {
	api.Helper()
	bundles := slices.CompactFunc(api.bundles(), bytes.Equal)
	for _, replica := range replicas {
		for _, bundle := range bundles {
			wantTrusted(api.T, replica, bundle)
		}
	}
}

// wantNoWrites advances the clock and checks that nothing is written meanwhile.
func (api *fakeAPI) wantNoWrites(d time.Duration) {
	api.Helper()
	before := api.writeCount()
	advance(d)
	if now := api.writeCount(); now != before {
		api.Errorf("%d writes while there was nothing to do", now-before)
	}
}

// wantPending checks that the reason for not being ready contains the texts. Without texts, there must be none.
func wantPending(t *testing.T, controller *pki.Controller, texts ...string) {
	t.Helper()
	reasons := strings.Join(controller.Pending(), "")
	if len(texts) == 0 && reasons != "" {
		t.Errorf("pending: %q", reasons)
	}
	for _, text := range texts {
		if !strings.Contains(reasons, text) {
			t.Errorf("pending: %q, want %q in it", reasons, text)
		}
	}
}

func countCAs(bundle []byte) int { return bytes.Count(bundle, []byte("BEGIN")) }

// advance advances the clock of the bubble and waits until all goroutines are idle.
func advance(d time.Duration) {
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

func wantNear(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if (got - want).Abs() > 5*time.Second {
		t.Errorf("%s is %s, want %s", what, got, want)
	}
}

func pemBlock(kind string, content []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
}

// foreignCA returns a CA that this package did not issue. Without a curve, its key is RSA.
func foreignCA(curve elliptic.Curve, valid time.Duration) (certificate, key []byte) {
	var private crypto.Signer
	if curve != nil {
		private, _ = ecdsa.GenerateKey(curve, rand.Reader)
	} else {
		private, _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "foreign"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, _ := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	encoded, _ := x509.MarshalPKCS8PrivateKey(private)
	return pemBlock("CERTIFICATE", der), pemBlock("PRIVATE KEY", encoded)
}

// foreignData returns the content of a Secret with a certificate of foreignCA for this usage.
func foreignData(curve elliptic.Curve, usage x509.ExtKeyUsage) map[string][]byte {
	ca, caKey := foreignCA(curve, 10*365*24*time.Hour)
	pair, _ := tls.X509KeyPair(ca, caKey)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	der, _ := x509.CreateCertificate(rand.Reader, template, pair.Leaf, key.Public(), pair.PrivateKey)
	encoded, _ := x509.MarshalPKCS8PrivateKey(key)
	return map[string][]byte{
		"ca.crt": ca, "ca.key": caKey, "tls.crt": pemBlock("CERTIFICATE", der), "tls.key": pemBlock("PRIVATE KEY", encoded),
	}
}
