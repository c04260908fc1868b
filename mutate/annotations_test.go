package mutate_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
)

// TestParseInjections verifies that the annotation can be read again, and that other text is ignored.
func TestParseInjections(t *testing.T) {
	t.Parallel()
	set := conf.Load([]conf.Document{
		{Content: []byte("name: logger:v1\n"), Line: 1},
		{Origin: conf.Origin{Index: 1}, Content: []byte("name: vault\n"), Line: 1},
	}, nil)
	written := mutate.Injections(set.Sidecars)
	many, parsed := "", ""
	for n := range 101 {
		many += fmt.Sprintf("s%d@0123456789ab,", n)
		if n < 100 {
			parsed += fmt.Sprintf(" s%d:latest@0123456789ab", n)
		}
	}
	for text, want := range map[string]string{
		many:                                  strings.TrimSpace(parsed),
		written:                               strings.ReplaceAll(written, ",", " "),
		"":                                    "",
		"a":                                   "",
		"a:v1@0123456789a":                    "",
		"a:v1@0123456789ab,,x@,@0123456789ab": "a:v1@0123456789ab",
		strings.Repeat("a@0123456789ab,", 2):  "a:latest@0123456789ab",
	} {
		got := strings.Trim(fmt.Sprint(mutate.ParseInjections(text)), "[]")
		if got != want {
			t.Errorf("%.80q: got %.80s, want %.80s", text, got, want)
		}
	}
}

func TestParseRequest(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"":                 "[] <nil>",
		" None ":           "[] <nil>",
		"Logger:v1, vault": "[logger:v1 vault:latest] <nil>",
		"a b":              `[] "a b" is not a sidecar`,
	} {
		refs, err := mutate.ParseRequest(request)
		if got := fmt.Sprint(refs, " ", err); !strings.HasPrefix(got, want) {
			t.Errorf("%q: got %s, want %s", request, got, want)
		}
	}
}
