package pki_test

import (
	"bytes"
	"crypto/elliptic"
	"maps"
	"strings"
	"testing"
	"time"

	"k8s-sidecar-injector/pki"
)

// FuzzSecret inserts bytes into a valid Secret. It must not cause a panic, an error that contains a key, or a
// state without a CA.
func FuzzSecret(f *testing.F) {
	ca, key := foreignCA(elliptic.P256(), 10*365*24*time.Hour)
	good := map[string][]byte{"ca.crt": ca, "ca.key": key, "tls.crt": ca, "tls.key": key}
	names := []string{"ca.crt", "ca.key", "tls.crt", "tls.key"}
	f.Add(uint(0), uint(0), []byte("garbage"))
	f.Add(uint(1), uint(40), []byte{})
	f.Add(uint(2), uint(1000), []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, which, at uint, content []byte) {
		data := maps.Clone(good)
		name := names[which%4]
		cut := int(at % uint(len(good[name])+1))
		data[name] = bytes.Join([][]byte{good[name][:cut], good[name][cut:]}, content)
		bundle, err := pki.Decode(data, time.Now())
		switch {
		case err == nil && !bytes.Contains(bundle, []byte("BEGIN CERTIFICATE")):
			t.Errorf("the bundle is %q", bundle)
		case err != nil && strings.Contains(err.Error(), string(key[40:80])):
			t.Errorf("the key is in the error: %v", err)
		}
	})
}
