package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/e2e/cluster"
)

// Short lifetimes: a CA is renewed after 72 seconds, a certificate after 24. API servers have 2.4 seconds
// to receive a new CA, on a machine that may be busy.
const (
	shortLife   = "tls.selfManaged.lifetime=36s"
	shortCALife = "tls.selfManaged.caLifetime=108s"
)

// TestSelfManagedTLS starts three replicas at the same time, and creates pods continuously with
// failurePolicy Fail. Certificates and CAs are rotated, the caBundle is overwritten, and the Secret is
// deleted, emptied and corrupted. No creation may fail.
func TestSelfManagedTLS(t *testing.T) {
	t.Parallel()
	i := installChart(t, "replicas=3", "sample=true", "webhook.failurePolicy=Fail", shortLife, shortCALife)
	i.start(i.pods(3))
	i.awaitInjection()
	for _, replica := range i.replicas {
		equal(t, "the number of certificates that a new replica loaded", countLines(t, replica, "certificate loaded", ""), 1)
	}
	constant, handshakes := i.createPods(), i.shakeHands()
	i.awaitCAs(1)
	i.corruptSecret("deleted", func(*corev1.Secret) *corev1.Secret { return nil })
	i.corruptSecret("emptied", func(s *corev1.Secret) *corev1.Secret {
		s.Data = nil
		return s
	})
	i.corruptSecret("filled with rubbish", func(s *corev1.Secret) *corev1.Secret {
		for key := range s.Data {
			s.Data[key] = []byte("rubbish")
		}
		return s
	})
	constant.check()
	handshakes()

	// The webhook fails from here until the caBundle is repaired.
	i.setBundle([]byte("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n"))
	i.await("the caBundle to be repaired", func() error {
		if newestCA(i.bundle()) == "" {
			return errors.New("not repaired")
		}
		return nil
	})
	i.awaitInjection()
}

// TestSecretImmutable starts replicas with an immutable Secret whose certificate is due for renewal. They
// serve the certificate and repair the caBundle. After the Secret is deleted, they create a new one.
func TestSecretImmutable(t *testing.T) {
	t.Parallel()
	i := installManifests(t)
	secrets := i.client().CoreV1().Secrets(home)
	secret, err := secrets.Get(t.Context(), home+"-tls", metav1.GetOptions{})
	must(t, err)
	secret.Data, secret.Immutable = dueForRenewal(t), new(true)
	_, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{})
	must(t, err)
	i.start(i.pods(2))
	i.awaitInjection()
	i.setBundle(nil)
	i.awaitInjection()
	for _, replica := range i.replicas {
		i.awaitLine(replica, "cannot update certificates; any certificate in service stays", "field is immutable")
		if failures := i.metric(replica, `sidecar_injector_certificate_reloads_total{result="error"}`); failures < 1 {
			t.Errorf("got %v counted failures", failures)
		}
	}
	must(t, secrets.Delete(t.Context(), home+"-tls", metav1.DeleteOptions{}))
	i.await("a new Secret", func() error {
		secret, err := secrets.Get(t.Context(), home+"-tls", metav1.GetOptions{})
		if err == nil && len(secret.Data["tls.key"]) == 0 {
			err = errors.New("it is empty")
		}
		return err
	})
	i.awaitInjection()
}

// dueForRenewal returns the data of a Secret with a certificate of 90 days, issued 80 days ago.
func dueForRenewal(t *testing.T) map[string][]byte {
	t.Helper()
	const day = 24 * time.Hour
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	start := time.Now().Add(-80 * day)
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "due for renewal"},
		NotBefore:             start,
		NotAfter:              start.Add(1800 * day),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		DNSNames:     []string{home + "." + home + ".svc"},
		NotBefore:    start,
		NotAfter:     start.Add(90 * day),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	must(t, err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	must(t, err)
	return map[string][]byte{
		"ca.crt": encodePEM("CERTIFICATE", caDER), "ca.key": encodeKey(t, caKey),
		"tls.crt": encodePEM("CERTIFICATE", leafDER), "tls.key": encodeKey(t, key),
	}
}

func encodeKey(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return encodePEM("PRIVATE KEY", der)
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// shakeHands connects to every replica continuously. It trusts the caBundle of half a second ago, like an
// API server that is late. The API server itself keeps connections open for so long that it would miss most
// certificates. check stops it, and fails the test if a handshake has failed.
func (i *installation) shakeHands() (check func()) {
	over := make(chan struct{})
	stop := sync.OnceFunc(func() { close(over) })
	var group sync.WaitGroup
	made, failed := 0, make(map[string]bool)
	group.Go(func() {
		for bundle := i.bundle(); ; {
			next := i.bundle()
			for range 5 {
				select {
				case <-over:
					return
				case <-time.After(100 * time.Millisecond):
				}
				for _, replica := range i.replicas {
					made++
					if err := handshake(replica, bundle); err != nil {
						failed[err.Error()] = true
					}
				}
			}
			bundle = next
		}
	})
	i.Cleanup(func() {
		stop()
		group.Wait()
	})
	return func() {
		i.Helper()
		stop()
		group.Wait()
		i.Logf("%d handshakes, and these errors: %v", made, failed)
		if made < 300 || len(failed) > 0 {
			i.Error("handshakes failed, or there were too few")
		}
	}
}

func handshake(replica *cluster.Injector, bundle []byte) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	connection, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", replica.TLSPort), &tls.Config{
		RootCAs:    roots,
		ServerName: home + "." + home + ".svc",
	})
	if err != nil {
		return err
	}
	return connection.Close()
}

// awaitCAs waits until certificates of count more CAs have been served.
func (i *installation) awaitCAs(count int) {
	i.Helper()
	seen := map[string]bool{newestCA(i.bundle()): true}
	i.awaitFor(longDeadline, "the CA to be rotated", func() error {
		bundle := i.bundle()
		if block, rest := pem.Decode(bundle); block != nil && len(rest) == 0 {
			seen[newestCA(bundle)] = true // the only CA: the rotation is finished
		}
		if len(seen) <= count {
			return fmt.Errorf("got %d", len(seen))
		}
		return nil
	})
}

// newestCA returns the name of the first CA in a bundle, or an empty string.
func newestCA(bundle []byte) string {
	if ca := decodeCertificate(bundle); ca != nil {
		return ca.Subject.CommonName
	}
	return ""
}

// decodeCertificate returns the first certificate of a PEM, or nil.
func decodeCertificate(content []byte) *x509.Certificate {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return certificate
}

// corruptSecret changes the Secret, and waits until a new CA is the only one that is trusted.
func (i *installation) corruptSecret(what string, change func(*corev1.Secret) *corev1.Secret) {
	i.Helper()
	secrets := i.client().CoreV1().Secrets(home)
	before := newestCA(i.bundle())                   // names have the second of creation
	i.await("the Secret to be "+what, func() error { // a replica may write at the same time
		secret, err := secrets.Get(i.Context(), home+"-tls", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if secret = change(secret); secret == nil {
			return secrets.Delete(i.Context(), home+"-tls", metav1.DeleteOptions{})
		}
		_, err = secrets.Update(i.Context(), secret, metav1.UpdateOptions{})
		return err
	})
	i.awaitFor(longDeadline, "a Secret that was "+what+" to be created again, and its CA to sign", func() error {
		secret, err := secrets.Get(i.Context(), home+"-tls", metav1.GetOptions{})
		if err != nil {
			return err
		}
		ca, leaf := decodeCertificate(secret.Data["ca.crt"]), decodeCertificate(secret.Data["tls.crt"])
		if ca == nil || leaf == nil || ca.Subject.CommonName == before || leaf.Issuer.CommonName != ca.Subject.CommonName {
			return fmt.Errorf("before %q, now %v", before, ca)
		}
		return nil
	})
}
