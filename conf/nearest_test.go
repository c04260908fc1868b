package conf_test

import (
	"slices"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{
		"role", "rule", "level", "containers", "initContainers", "env", "envFrom", "p", strings.Repeat("x", 64),
	}
	for word, want := range map[string]string{
		"roel": "role", "rolee": "role", "ole": "role", "rale": "role", "rile": "role", "ROLE": "role", "r0le": "role",
		"contaniers": "containers", "container": "containers", "cotnainesr": "containers", "initcontainers": "initContainers",
		"lvl": "", "enw": "env", "envfrom": "envFrom", "en": "", "P": "p", "q": "", "": "", "volume": "",
		"leevl": "level", "lveel": "level", "elvle": "",
		strings.Repeat("x", 63): strings.Repeat("x", 64), strings.Repeat("x", 65): "", "İİİİİİ": "",
	} {
		for range 2 {
			if got := conf.Nearest(word, slices.Values(known)); got != want {
				t.Errorf("%q is near %q, want %q", word, got, want)
			}
			slices.Reverse(known)
		}
	}
}
