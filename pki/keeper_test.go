package pki_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/pki"
)

func TestFirstStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		expiries := make([]time.Time, 0, 1)
		keeper, stop := api.startReplica(func(o *pki.Options) {
			o.Observe = func(_ bool, notAfter time.Time) { expiries = append(expiries, notAfter) }
		})
		defer stop()
		advance(time.Second)
		api.wantConsistent(keeper)
		if reasons := keeper.Pending(); reasons != nil {
			t.Errorf("not ready: %q", reasons)
		}
		secret := api.secret()
		ca := decode(t, secret.Data["ca.crt"])
		served := servedLeaf(t, keeper)
		wantNear(t, "the CA's life", time.Until(ca.NotAfter), caLife)
		wantNear(t, "the certificate's life", time.Until(served.NotAfter), lifetime)
		if want := []time.Time{served.NotAfter}; !slices.EqualFunc(expiries, want, time.Time.Equal) {
			t.Errorf("observed %v, want %v", expiries, want)
		}
		for _, key := range []string{"ca.key", "tls.key"} {
			block, _ := pem.Decode(secret.Data[key])
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			must(t, err)
			if k, ok := parsed.(*ecdsa.PrivateKey); !ok || k.Curve != elliptic.P256() {
				t.Errorf("%s is a %T", key, parsed)
			}
		}
		if names := fmt.Sprint(served.DNSNames, served.IPAddresses); names != "["+host+"] [127.0.0.1]" {
			t.Errorf("the certificate is for %s", names)
		}
		before := api.writeCount()
		advance(lifetime / 2)
		if now := api.writeCount(); now != before {
			t.Errorf("%d writes while there was nothing to do", now-before)
		}
	})
}

// Whoever comes first makes it, and all agree.
func TestReplicasAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		var replicas []*pki.Keeper
		for range 7 {
			keeper, stop := api.startReplica(nil)
			defer stop()
			replicas = append(replicas, keeper)
		}
		advance(time.Minute)
		api.wantConsistent(replicas...)
		for _, keeper := range replicas {
			if !servedLeaf(t, keeper).Equal(servedLeaf(t, replicas[0])) {
				t.Error("replicas serve different certificates")
			}
		}
		if bundle := api.secret().Data["ca.crt"]; bytes.Count(bundle, []byte("BEGIN")) != 1 {
			t.Errorf("the bundle is\n%s", bundle)
		}
	})
}

// Over years, no replica ever serves what any webhook configuration does not trust, now or a
// while ago: API servers learn of a new caBundle late.
func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		var replicas []*pki.Keeper
		for range 2 {
			var keeper *pki.Keeper
			keeper, stop := api.startReplica(func(o *pki.Options) {
				o.Observe = func(bool, time.Time) { // when it has taken up another certificate
					if stale := api.bundleAt(time.Now().Add(-lag)); stale != nil {
						wantTrusted(t, keeper, stale)
					}
				}
			})
			defer stop()
			replicas = append(replicas, keeper)
		}
		advance(time.Second)
		leaves := make(map[string]bool)
		for end := time.Now().Add(3 * caLife); time.Now().Before(end); advance(time.Hour) {
			api.wantConsistent(replicas...)
			served := servedLeaf(t, replicas[0])
			leaves[served.SerialNumber.String()] = true
			if left := time.Until(served.NotAfter); left < lifetime/3-time.Hour {
				t.Fatalf("%s of the certificate's life are left", left)
			}
		}
		cas, most := make(map[string]bool), 0
		for _, published := range api.history {
			cas[decode(t, published.bundle).Subject.CommonName] = true
			most = max(most, bytes.Count(published.bundle, []byte("BEGIN")))
		}
		// 900 hours are 4.5 times two thirds of 300, and 15 times two thirds of 90.
		if len(cas) != 5 || len(leaves) < 15 || len(leaves) > 21 {
			t.Errorf("%d CAs and %d certificates were made", len(cas), len(leaves))
		}
		if most != 2 {
			t.Errorf("the bundle had up to %d CAs, want old and new", most)
		}
		if n := bytes.Count(api.bundles()[0], []byte("BEGIN")); n != 1 {
			t.Errorf("in the end the bundle has %d CAs", n)
		}
	})
}

// What becomes of the Secret, and what becomes of the clients: nothing.
func TestSecretRepaired(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(*corev1.Secret){
		"emptied":         func(s *corev1.Secret) { s.Data = nil },
		"empty values":    func(s *corev1.Secret) { s.Data = map[string][]byte{"ca.crt": {}, "tls.crt": {}} },
		"no CA":           func(s *corev1.Secret) { delete(s.Data, "ca.crt") },
		"no CA key":       func(s *corev1.Secret) { delete(s.Data, "ca.key") },
		"no certificate":  func(s *corev1.Secret) { delete(s.Data, "tls.crt") },
		"no key":          func(s *corev1.Secret) { delete(s.Data, "tls.key") },
		"rubbish":         func(s *corev1.Secret) { s.Data["ca.crt"] = []byte("rubbish\x00\xff") },
		"rubbish in PEM":  func(s *corev1.Secret) { s.Data["ca.crt"] = pemBlock("CERTIFICATE", []byte("rubbish")) },
		"a key for a CA":  func(s *corev1.Secret) { s.Data["ca.crt"] = s.Data["ca.key"] },
		"a leaf for a CA": func(s *corev1.Secret) { s.Data["ca.crt"], s.Data["ca.key"] = s.Data["tls.crt"], s.Data["tls.key"] },
		"keys exchanged":  func(s *corev1.Secret) { s.Data["ca.key"], s.Data["tls.key"] = s.Data["tls.key"], s.Data["ca.key"] },
		"another CA": func(s *corev1.Secret) {
			s.Data["ca.crt"], s.Data["ca.key"] = foreignCA(elliptic.P256(), 10*365*24*time.Hour)
		},
		"a key of RSA":       func(s *corev1.Secret) { s.Data["ca.crt"], s.Data["ca.key"] = foreignCA(nil, 10*365*24*time.Hour) },
		"cut in the middle":  func(s *corev1.Secret) { s.Data["tls.key"] = s.Data["tls.key"][:40] },
		"a CA that is over":  func(s *corev1.Secret) { s.Data["ca.crt"], s.Data["ca.key"] = foreignCA(elliptic.P256(), -time.Second) },
		"for clients only":   func(s *corev1.Secret) { s.Data = clientAuthData() },
		"unknown other keys": func(s *corev1.Secret) { s.Data = map[string][]byte{"other": []byte("kept")} },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI(t)
				one, stopOne := api.startReplica(nil)
				defer stopOne()
				two, stopTwo := api.startReplica(nil)
				defer stopTwo()
				advance(time.Hour)
				before := servedLeaf(t, one)
				api.editSecret(spoil)
				for range 20 {
					advance(10 * time.Second)
					api.wantConsistent(one, two)
					stale := api.bundleAt(time.Now().Add(-lag))
					wantTrusted(t, one, stale)
					wantTrusted(t, two, stale)
				}
				advance(48 * time.Hour)
				api.wantConsistent(one, two)
				if servedLeaf(t, one).Equal(before) || !servedLeaf(t, one).Equal(servedLeaf(t, two)) {
					t.Error("the certificate was not made anew for both")
				}
				if n := bytes.Count(api.secret().Data["ca.crt"], []byte("BEGIN")); n != 1 {
					t.Errorf("the old CA is still trusted, of %d", n)
				}
				if what == "unknown other keys" && string(api.secret().Data["other"]) != "kept" {
					t.Error("what is not ours was lost")
				}
			})
		})
	}
}

// What was there when everything went, and nobody remembers: a new beginning.
func TestExpiredWhileAway(t *testing.T) {
	t.Parallel()
	for away, kept := range map[time.Duration]bool{lifetime / 2: true, 2 * lifetime: false, 2 * caLife: false} {
		t.Run(away.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI(t)
				before, stop := api.startReplica(nil)
				advance(time.Minute)
				stop()
				advance(away)
				after, stop := api.startReplica(nil)
				defer stop()
				advance(time.Minute)
				api.wantConsistent(after)
				if servedLeaf(t, after).Equal(servedLeaf(t, before)) != kept {
					t.Errorf("the certificate from before is kept: %v, want %v", !kept, kept)
				}
			})
		})
	}
}

func TestSecretDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		keeper, stop := api.startReplica(nil)
		defer stop()
		advance(time.Minute)
		for range 20 { // faster than anything can be spread, and slower
			for _, pause := range []time.Duration{time.Millisecond, time.Second, 2 * time.Minute} {
				api.deleteSecret()
				advance(pause)
				api.wantConsistent(keeper)
				if stale := api.bundleAt(time.Now().Add(-lag)); stale != nil {
					wantTrusted(t, keeper, stale)
				}
			}
		}
		if n := bytes.Count(api.secret().Data["ca.crt"], []byte("BEGIN")); n > 8 {
			t.Errorf("the bundle has grown to %d", n)
		}
		advance(48 * time.Hour)
		if n := bytes.Count(api.secret().Data["ca.crt"], []byte("BEGIN")); n != 1 {
			t.Errorf("the bundle has %d CAs in the end", n)
		}
	})
}

func TestBundleRepaired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		keeper, stop := api.startReplica(nil)
		defer stop()
		advance(time.Minute)
		configurations := api.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
		for _, bundle := range [][]byte{nil, []byte("rubbish")} {
			api.overwriteBundle(bundle)
			synctest.Wait()
			api.wantConsistent(keeper)
		}
		// One that is deleted and comes again.
		c, err := configurations.Get(t.Context(), "injector", metav1.GetOptions{})
		must(t, err)
		must(t, configurations.Delete(t.Context(), "injector", metav1.DeleteOptions{}))
		synctest.Wait()
		c.Webhooks[0].ClientConfig.CABundle, c.ResourceVersion = nil, "77"
		_, err = configurations.Create(t.Context(), c, metav1.CreateOptions{})
		must(t, err)
		synctest.Wait()
		api.wantConsistent(keeper)
	})
}

// Somebody else who writes the caBundle at every change does not get us to do the same.
func TestBundleFight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		keeper, stop := api.startReplica(nil)
		defer stop()
		advance(time.Minute)
		before := api.writeCount()
		const foreign = 600
		configurations := api.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
		for range foreign {
			c, err := configurations.Get(t.Context(), "injector", metav1.GetOptions{})
			must(t, err)
			c.Webhooks[0].ClientConfig.CABundle = []byte("theirs")
			_, err = configurations.Update(t.Context(), c, metav1.UpdateOptions{})
			must(t, err)
			advance(100 * time.Millisecond)
		}
		if ours := api.writeCount() - before - foreign; ours > 30 {
			t.Errorf("%d writes in a minute", ours)
		}
		advance(time.Minute)
		api.wantConsistent(keeper)
	})
}

// What cannot be written to one configuration does not keep the others from being written.
func TestOneConfigurationRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		api.failWrites("mutatingwebhookconfigurations", errors.New("no"))
		keeper, stop := api.startReplica(nil)
		defer stop()
		advance(time.Minute)
		wantTrusted(t, keeper, api.bundles()[2])
		if reasons := keeper.Pending(); len(reasons) != 1 || !strings.Contains(reasons[0], "caBundle not current yet") || !strings.Contains(reasons[0], "no") {
			t.Errorf("pending: %q", reasons)
		}
		api.failWrites("mutatingwebhookconfigurations", nil)
		advance(time.Minute)
		api.wantConsistent(keeper)
	})
}

// A name that is wrong is said, once.
func TestNoConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		var log strings.Builder
		keeper, stop := api.startReplica(func(o *pki.Options) {
			o.Log, o.Configurations = zerolog.New(&log), []string{"typo", "injector"}
		})
		advance(3 * time.Hour)
		stop()
		if reasons := keeper.Pending(); reasons != nil || strings.Count(log.String(), `"name":"typo","message":"no webhook configuration has this name`) != 1 || strings.Contains(log.String(), `"name":"injector"`) {
			t.Errorf("pending: %q; the log:\n%s", reasons, log.String())
		}
	})
}

// While the configurations cannot be told of a new CA, nobody serves a certificate by it.
func TestBundleCannotBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		keeper, stop := api.startReplica(nil)
		defer stop()
		advance(time.Minute)
		before := servedLeaf(t, keeper)
		api.failWrites("mutatingwebhookconfigurations", errors.New("no"))
		api.deleteSecret()
		advance(time.Hour)
		api.wantConsistent(keeper)
		if !servedLeaf(t, keeper).Equal(before) {
			t.Error("the certificate was replaced")
		}
		api.failWrites("mutatingwebhookconfigurations", nil)
		advance(time.Hour)
		api.wantConsistent(keeper)
		if servedLeaf(t, keeper).Equal(before) {
			t.Error("the certificate was not replaced in the end")
		}
	})
}

// Without rights there is no certificate, and the reason is told, until there are.
func TestRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		api.failWrites("secrets", apierrors.NewForbidden(corev1.Resource("secrets"), name, errors.New("no")))
		keeper, stop := api.startReplica(nil)
		defer stop()
		advance(time.Minute)
		const want = "is forbidden: no: grant it"
		if reasons := strings.Join(keeper.Pending(), ""); !strings.Contains(reasons, want) {
			t.Errorf("pending: %q", reasons)
		}
		if _, err := keeper.GetCertificate(&tls.ClientHelloInfo{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a handshake gives %v", err)
		}
		api.failWrites("secrets", nil)
		advance(time.Minute)
		api.wantConsistent(keeper)
		if reasons := keeper.Pending(); reasons != nil {
			t.Errorf("pending: %q", reasons)
		}
	})
}

// While the Secret cannot be written, whatever the reason, a valid certificate is served and the caBundle
// repaired, by replicas that run and by those that start.
func TestSecretNotWritable(t *testing.T) {
	t.Parallel()
	secrets := corev1.Resource("secrets")
	for what, refusal := range map[string]error{
		"immutable":      apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Secret").GroupKind(), name, nil),
		"etcd is full":   apierrors.NewInternalError(errors.New("etcdserver: mvcc: database space exceeded")),
		"rights missing": apierrors.NewForbidden(secrets, name, errors.New("no")),
		"no answer":      context.DeadlineExceeded,
	} {
		for due, at := range map[string]time.Duration{"certificate": 2 * lifetime / 3, "CA": 2 * caLife / 3, "name": time.Hour} {
			t.Run(what+", "+due+" due", func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					api := newFakeAPI(t)
					running, stop := api.startReplica(nil)
					defer stop()
					advance(at - 5*time.Minute)
					api.failWrites("secrets", refusal)
					advance(10 * time.Minute)
					var log strings.Builder
					failures := 0
					restarted, stop := api.startReplica(func(o *pki.Options) {
						o.Log = zerolog.New(&log)
						o.Observe = func(ok bool, _ time.Time) {
							if !ok {
								failures++
							}
						}
						if due == "name" {
							o.Names = append(o.Names, "new.example.com")
						}
					})
					defer stop()
					for range 3 {
						advance(time.Minute)
						api.wantConsistent(running, restarted)
						api.overwriteBundle([]byte("rubbish"))
						advance(time.Second)
						api.wantConsistent(running, restarted)
					}
					if reasons := restarted.Pending(); reasons != nil {
						t.Errorf("pending: %q", reasons)
					}
					if n := strings.Count(log.String(), "cannot update certificates"); n != 1 || failures < 3 {
						t.Errorf("%d lines for %d failures:\n%s", n, failures, log.String())
					}
					api.failWrites("secrets", nil)
					before := servedLeaf(t, restarted)
					advance(time.Hour)
					api.wantConsistent(running, restarted)
					if servedLeaf(t, restarted).Equal(before) {
						t.Error("the certificate is not renewed after the Secret can be written again")
					}
				})
			})
		}
	}
}

// A Secret that is gone and cannot be created again does not keep the caBundle from being repaired.
func TestSecretNotCreatable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		keeper, stop := api.startReplica(nil)
		defer stop()
		advance(time.Minute)
		api.failWrites("secrets", errors.New("no"))
		api.deleteSecret()
		advance(time.Minute)
		api.overwriteBundle(nil)
		advance(time.Second)
		api.wantConsistent(keeper)
	})
}

// An expired certificate is not served by a replica that starts: it is not ready, and says why.
func TestExpiredNotWritable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		_, stop := api.startReplica(nil)
		advance(time.Minute)
		stop()
		api.failWrites("secrets", errors.New("no"))
		advance(lifetime)
		keeper, stop := api.startReplica(nil)
		defer stop()
		advance(time.Minute)
		if reasons := strings.Join(keeper.Pending(), ""); !strings.Contains(reasons, "no certificate yet: ") || !strings.Contains(reasons, ": no") {
			t.Errorf("pending: %q", reasons)
		}
	})
}

// During an upgrade, replicas want different names: they do not fight, and both are served.
func TestNamesChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		old, stopOld := api.startReplica(nil)
		advance(time.Minute)
		renamed, stop := api.startReplica(func(o *pki.Options) { o.Names = []string{"new.example.com"} })
		defer stop()
		advance(time.Minute)
		before := api.writeCount()
		advance(time.Hour)
		if now := api.writeCount(); now != before {
			t.Errorf("%d writes while nothing changed", now-before)
		}
		api.wantConsistent(old, renamed)
		must(t, servedLeaf(t, old).VerifyHostname("new.example.com"))
		stopOld()
		advance(lifetime)
		if err := servedLeaf(t, renamed).VerifyHostname(host); err == nil {
			t.Error("the old name is still served after a renewal")
		}
	})
}

// However an address is written, it is the same: nothing is renewed for it.
func TestAddressWrittenOtherwise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		keeper, stop := api.startReplica(func(o *pki.Options) { o.Names = append(o.Names, "0:0:0:0:0:0:0:1", host) })
		defer stop()
		advance(time.Minute)
		must(t, servedLeaf(t, keeper).VerifyHostname("::1"))
		before := api.writeCount()
		advance(time.Hour)
		if now := api.writeCount(); now != before {
			t.Errorf("%d writes while nothing changed", now-before)
		}
	})
}
