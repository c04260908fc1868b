package pki_test

import (
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
		controller, _ := api.startReplica(func(o *pki.Options) {
			o.Observe = func(_ bool, notAfter time.Time) { expiries = append(expiries, notAfter) }
		})
		advance(time.Second)
		api.wantConsistent(controller)
		wantPending(t, controller)
		secret := api.secret()
		ca := decode(t, secret.Data["ca.crt"])
		served := servedLeaf(t, controller)
		wantNear(t, "the CA's lifetime", time.Until(ca.NotAfter), caLife)
		wantNear(t, "the certificate's lifetime", time.Until(served.NotAfter), lifetime)
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
		api.wantNoWrites(lifetime / 2)
	})
}

// An explicit reload always logs the certificate.
func TestReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		var log strings.Builder
		controller, _ := api.startReplica(func(o *pki.Options) { o.Log = zerolog.New(&log) })
		advance(time.Minute)
		controller.Reload()
		synctest.Wait()
		loaded := strings.Count(log.String(), `"message":"certificate loaded"`)
		reloaded := strings.Count(log.String(), `"message":"certificate reloaded, no changes"`)
		if loaded != 1 || reloaded != 1 {
			t.Errorf("logged:\n%s", log.String())
		}
	})
}

// Replicas that start at the same time serve the same certificate.
func TestReplicasStartTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		var replicas []*pki.Controller
		for range 7 {
			controller, _ := api.startReplica(nil)
			replicas = append(replicas, controller)
		}
		advance(time.Minute)
		api.wantConsistent(replicas...)
		for _, controller := range replicas {
			if !servedLeaf(t, controller).Equal(servedLeaf(t, replicas[0])) {
				t.Error("replicas serve different certificates")
			}
		}
		if bundle := api.secret().Data["ca.crt"]; countCAs(bundle) != 1 {
			t.Errorf("the bundle is\n%s", bundle)
		}
	})
}

// Every certificate in service is trusted by the caBundle of that time and of lag before, because API servers
// use a new caBundle late.
func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		var replicas []*pki.Controller
		for range 2 {
			var controller *pki.Controller
			controller, _ = api.startReplica(func(o *pki.Options) {
				o.Observe = func(bool, time.Time) { // after a new certificate
					if stale := api.bundleAt(time.Now().Add(-lag)); stale != nil {
						wantTrusted(t, controller, stale)
					}
				}
			})
			replicas = append(replicas, controller)
		}
		advance(time.Second)
		leaves := make(map[string]bool)
		for end := time.Now().Add(3 * caLife); time.Now().Before(end); advance(time.Hour) {
			api.wantConsistent(replicas...)
			served := servedLeaf(t, replicas[0])
			leaves[served.SerialNumber.String()] = true
			if left := time.Until(served.NotAfter); left < lifetime/3-time.Hour {
				t.Fatalf("%s of the certificate's lifetime are left", left)
			}
		}
		cas, most := make(map[string]bool), 0
		for _, published := range api.history {
			cas[decode(t, published.bundle).Subject.CommonName] = true
			most = max(most, countCAs(published.bundle))
		}
		// 180 hours are 4.5 times two thirds of 60, and 15 times two thirds of 18.
		if len(cas) != 5 || len(leaves) < 15 || len(leaves) > 21 {
			t.Errorf("%d CAs and %d certificates were made", len(cas), len(leaves))
		}
		if most != 2 {
			t.Errorf("the bundle had up to %d CAs, want old and new", most)
		}
		if n := countCAs(api.bundles()[0]); n != 1 {
			t.Errorf("in the end the bundle has %d CAs", n)
		}
	})
}

// Whatever happens to the Secret, clients always trust the certificate in service.
func TestSecretRepaired(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(*corev1.Secret){
		"emptied":        func(s *corev1.Secret) { s.Data = nil },
		"empty values":   func(s *corev1.Secret) { s.Data = map[string][]byte{"ca.crt": {}, "tls.crt": {}} },
		"no CA":          func(s *corev1.Secret) { delete(s.Data, "ca.crt") },
		"no CA key":      func(s *corev1.Secret) { delete(s.Data, "ca.key") },
		"no certificate": func(s *corev1.Secret) { delete(s.Data, "tls.crt") },
		"no key":         func(s *corev1.Secret) { delete(s.Data, "tls.key") },
		"garbage":        func(s *corev1.Secret) { s.Data["ca.crt"] = []byte("garbage\x00\xff") },
		"garbage in PEM": func(s *corev1.Secret) { s.Data["ca.crt"] = pemBlock("CERTIFICATE", []byte("garbage")) },
		"a key for a CA": func(s *corev1.Secret) { s.Data["ca.crt"] = s.Data["ca.key"] },
		"a leaf for a CA": func(s *corev1.Secret) {
			s.Data["ca.crt"], s.Data["ca.key"] = s.Data["tls.crt"], s.Data["tls.key"]
		},
		"keys exchanged": func(s *corev1.Secret) {
			s.Data["ca.key"], s.Data["tls.key"] = s.Data["tls.key"], s.Data["ca.key"]
		},
		"another CA": func(s *corev1.Secret) {
			s.Data["ca.crt"], s.Data["ca.key"] = foreignCA(elliptic.P256(), 10*365*24*time.Hour)
		},
		"a key of RSA": func(s *corev1.Secret) {
			s.Data["ca.crt"], s.Data["ca.key"] = foreignCA(nil, 10*365*24*time.Hour)
		},
		"truncated": func(s *corev1.Secret) { s.Data["tls.key"] = s.Data["tls.key"][:40] },
		"an expired CA": func(s *corev1.Secret) {
			s.Data["ca.crt"], s.Data["ca.key"] = foreignCA(elliptic.P256(), -time.Second)
		},
		"client certificate": func(s *corev1.Secret) {
			s.Data = foreignData(elliptic.P256(), x509.ExtKeyUsageClientAuth)
		},
		"unknown other keys": func(s *corev1.Secret) { s.Data = map[string][]byte{"other": []byte("kept")} },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI(t)
				one, _ := api.startReplica(nil)
				two, _ := api.startReplica(nil)
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
				advance(lifetime/3 + time.Hour) // the overlap
				api.wantConsistent(one, two)
				if servedLeaf(t, one).Equal(before) || !servedLeaf(t, one).Equal(servedLeaf(t, two)) {
					t.Error("the certificate was not replaced on both replicas")
				}
				if n := countCAs(api.secret().Data["ca.crt"]); n != 1 {
					t.Errorf("the bundle still has %d CAs", n)
				}
				if what == "unknown other keys" && string(api.secret().Data["other"]) != "kept" {
					t.Error("another key was removed")
				}
			})
		})
	}
}

// A replica that starts keeps a valid certificate and replaces an expired one.
func TestStartAfterDowntime(t *testing.T) {
	t.Parallel()
	for downtime, kept := range map[time.Duration]bool{lifetime / 2: true, 2 * lifetime: false, 2 * caLife: false} {
		t.Run(downtime.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI(t)
				before, stop := api.startReplica(nil)
				advance(time.Minute)
				stop()
				advance(downtime)
				after, _ := api.startReplica(nil)
				advance(time.Minute)
				api.wantConsistent(after)
				if servedLeaf(t, after).Equal(servedLeaf(t, before)) != kept {
					t.Errorf("the certificate from before is kept: %v, want %v", !kept, kept)
				}
			})
		})
	}
}

// A valid certificate of a CA that this package did not issue is used, also if the CA's key is not ECDSA.
func TestForeignCA(t *testing.T) {
	t.Parallel()
	for what, curve := range map[string]elliptic.Curve{"ECDSA": elliptic.P384(), "RSA": nil} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI(t)
				data := foreignData(curve, x509.ExtKeyUsageServerAuth)
				must(t, api.tracker.Add(&corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: "1"}, Data: data,
				}))
				controller, _ := api.startReplica(func(o *pki.Options) { o.Names = []string{host} })
				advance(time.Minute)
				api.wantConsistent(controller)
				if !servedLeaf(t, controller).Equal(decode(t, data["tls.crt"])) {
					t.Error("the certificate was replaced")
				}
				advance(lifetime)
				api.wantConsistent(controller)
				must(t, servedLeaf(t, controller).CheckSignatureFrom(decode(t, data["ca.crt"])))
			})
		})
	}
}

func TestSecretDeleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		controller, _ := api.startReplica(nil)
		advance(time.Minute)
		for range 20 { // faster and slower than a bundle propagates
			for _, pause := range []time.Duration{time.Millisecond, time.Second, 2 * time.Minute} {
				api.deleteSecret()
				advance(pause)
				api.wantConsistent(controller)
				if stale := api.bundleAt(time.Now().Add(-lag)); stale != nil {
					wantTrusted(t, controller, stale)
				}
			}
		}
		if n := countCAs(api.secret().Data["ca.crt"]); n > 8 {
			t.Errorf("the bundle has grown to %d", n)
		}
		advance(lifetime/3 + time.Hour) // the overlap
		if n := countCAs(api.secret().Data["ca.crt"]); n != 1 {
			t.Errorf("the bundle has %d CAs in the end", n)
		}
	})
}

// A repair is logged as such. The first write, a rotation and a caBundle that was empty are not repairs.
func TestBundleRepaired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		var log strings.Builder
		controller, _ := api.startReplica(func(o *pki.Options) { o.Log = zerolog.New(&log) })
		wantLines := func(message string, want int) {
			t.Helper()
			if n := strings.Count(log.String(), `"message":"`+message); n != want {
				t.Errorf("%d lines %q, want %d:\n%s", n, message, want, log.String())
			}
		}
		advance(2 * caLife)
		wantLines("caBundle repaired: another client had changed it", 0)
		written := strings.Count(log.String(), "caBundle written")
		configurations := api.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
		for _, bundle := range [][]byte{nil, []byte("garbage")} {
			api.overwriteBundle(bundle)
			synctest.Wait()
			api.wantConsistent(controller)
		}
		// The configuration is deleted and created again.
		c, err := configurations.Get(t.Context(), "injector", metav1.GetOptions{})
		must(t, err)
		must(t, configurations.Delete(t.Context(), "injector", metav1.DeleteOptions{}))
		synctest.Wait()
		c.Webhooks[0].ClientConfig.CABundle, c.ResourceVersion = nil, "77"
		_, err = configurations.Create(t.Context(), c, metav1.CreateOptions{})
		must(t, err)
		synctest.Wait()
		api.wantConsistent(controller)
		wantLines("caBundle repaired: another client had changed it", 1)
		wantLines("caBundle written", written+2)
	})
}

// Another writer of the caBundle does not cause a write for each of its writes.
func TestBundleFight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		controller, _ := api.startReplica(nil)
		advance(time.Minute)
		before := api.writeCount()
		const foreign = 600
		for range foreign {
			api.overwriteBundle([]byte("foreign"))
			advance(100 * time.Millisecond)
		}
		if own := api.writeCount() - before - foreign; own > 30 {
			t.Errorf("%d writes in a minute", own)
		}
		advance(time.Minute)
		api.wantConsistent(controller)
	})
}

// An error of one configuration does not affect the others.
func TestOneConfigurationRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		api.failWrites("mutatingwebhookconfigurations", errors.New("no"))
		controller, _ := api.startReplica(nil)
		advance(time.Minute)
		wantTrusted(t, controller, api.bundles()[2])
		wantPending(t, controller, "caBundle not current yet", ": no")
		api.failWrites("mutatingwebhookconfigurations", nil)
		advance(time.Minute)
		api.wantConsistent(controller)
	})
}

// Several errors are one line, in the log and in Pending.
func TestErrorsInOneLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		for _, resource := range []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} {
			api.failWrites(resource, errors.New("no "+resource))
		}
		var log strings.Builder
		controller, _ := api.startReplica(func(o *pki.Options) { o.Log = zerolog.New(&log).Level(zerolog.ErrorLevel) })
		advance(time.Minute)
		const want = "[patching the caBundle of mutatingwebhookconfiguration injector: no mutatingwebhookconfigurations, " +
			"patching the caBundle of validatingwebhookconfiguration injector: no validatingwebhookconfigurations]"
		if !strings.Contains(log.String(), `"error":"`+want+`"`) {
			t.Errorf("logged:\n%s", log.String())
		}
		wantPending(t, controller, want)
		if text := controller.String(); text != "secret sidecar-injector/tls" {
			t.Errorf("the controller is called %q", text)
		}
	})
}

// A wrong name is logged once.
func TestNoConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		var log strings.Builder
		controller, stop := api.startReplica(func(o *pki.Options) {
			o.Log, o.Configurations = zerolog.New(&log), []string{"typo", "injector"}
		})
		advance(3 * time.Hour)
		stop()
		text := log.String()
		logged := strings.Count(text, `"name":"typo","message":"webhook configuration not found`)
		if reasons := controller.Pending(); reasons != nil || logged != 1 || strings.Contains(text, `"name":"injector"`) {
			t.Errorf("pending: %q; the log:\n%s", reasons, text)
		}
	})
}

// No certificate of a new CA is served while the caBundle cannot be written.
func TestBundleCannotBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		controller, _ := api.startReplica(nil)
		advance(time.Minute)
		before := servedLeaf(t, controller)
		api.failWrites("mutatingwebhookconfigurations", errors.New("no"))
		api.deleteSecret()
		advance(time.Hour)
		api.wantConsistent(controller)
		if !servedLeaf(t, controller).Equal(before) {
			t.Error("the certificate was replaced")
		}
		api.failWrites("mutatingwebhookconfigurations", nil)
		advance(time.Hour)
		api.wantConsistent(controller)
		if servedLeaf(t, controller).Equal(before) {
			t.Error("the certificate was not replaced in the end")
		}
	})
}

// Without permissions, there is no certificate, and the reason is reported.
func TestForbidden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		api.failWrites("secrets", apierrors.NewForbidden(corev1.Resource("secrets"), name, errors.New("no")))
		controller, _ := api.startReplica(nil)
		advance(time.Minute)
		const want = "is forbidden: no: grant it"
		wantPending(t, controller, want)
		if _, err := controller.GetCertificate(&tls.ClientHelloInfo{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("GetCertificate returns %v", err)
		}
		api.failWrites("secrets", nil)
		advance(time.Minute)
		api.wantConsistent(controller)
		wantPending(t, controller)
	})
}

// While the Secret cannot be written, running and new replicas serve the valid certificate and repair the
// caBundle.
func TestSecretNotWritable(t *testing.T) {
	t.Parallel()
	secrets := corev1.Resource("secrets")
	for what, refusal := range map[string]error{
		"immutable":      apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Secret").GroupKind(), name, nil),
		"etcd is full":   apierrors.NewInternalError(errors.New("etcdserver: mvcc: database space exceeded")),
		"rights missing": apierrors.NewForbidden(secrets, name, errors.New("no")),
		"no answer":      context.DeadlineExceeded,
	} {
		for due, at := range map[string]time.Duration{
			"certificate": 2 * lifetime / 3, "CA": 2 * caLife / 3, "name": time.Hour,
		} {
			t.Run(what+", "+due+" due", func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					api := newFakeAPI(t)
					running, _ := api.startReplica(nil)
					advance(at - 5*time.Minute)
					api.failWrites("secrets", refusal)
					advance(10 * time.Minute)
					var log strings.Builder
					failures := 0
					restarted, _ := api.startReplica(func(o *pki.Options) {
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
					for range 3 {
						advance(time.Minute)
						api.wantConsistent(running, restarted)
						api.overwriteBundle([]byte("garbage"))
						advance(time.Second)
						api.wantConsistent(running, restarted)
					}
					wantPending(t, restarted)
					listed := strings.Count(log.String(), `","errors":["`)
					if n := strings.Count(log.String(), "cannot update certificates"); n != 1 || listed != 1 || failures < 3 {
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

// The caBundle is repaired although the Secret was deleted and cannot be created.
func TestSecretNotCreatable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		controller, _ := api.startReplica(nil)
		advance(time.Minute)
		api.failWrites("secrets", errors.New("no"))
		api.deleteSecret()
		advance(time.Minute)
		api.overwriteBundle(nil)
		advance(time.Second)
		api.wantConsistent(controller)
	})
}

// A new replica does not serve an expired certificate. It is not ready, and reports the reason.
func TestExpiredNotWritable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		_, stop := api.startReplica(nil)
		advance(time.Minute)
		stop()
		api.failWrites("secrets", errors.New("no"))
		advance(lifetime)
		controller, _ := api.startReplica(nil)
		advance(time.Minute)
		wantPending(t, controller, "no certificate yet: ", ": no")
	})
}

// During an upgrade, replicas want different names. They do not fight, and the certificate has both.
func TestNamesChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		old, stopOld := api.startReplica(nil)
		advance(time.Minute)
		renamed, _ := api.startReplica(func(o *pki.Options) { o.Names = []string{"new.example.com"} })
		advance(time.Minute)
		api.wantNoWrites(time.Hour)
		api.wantConsistent(old, renamed)
		must(t, servedLeaf(t, old).VerifyHostname("new.example.com"))
		stopOld()
		advance(lifetime)
		if err := servedLeaf(t, renamed).VerifyHostname(host); err == nil {
			t.Error("the old name is still served after a renewal")
		}
	})
}

// An address in another notation does not cause a renewal.
func TestAddressNotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		controller, _ := api.startReplica(func(o *pki.Options) { o.Names = append(o.Names, "0:0:0:0:0:0:0:1", host) })
		advance(time.Minute)
		must(t, servedLeaf(t, controller).VerifyHostname("::1"))
		api.wantNoWrites(time.Hour)
	})
}
