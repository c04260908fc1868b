package cli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestFirstExisting verifies which certificate file is the default of entrypoint.sh.
func TestFirstExisting(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		existing []string
		want     string
	}{
		"the original's":      {[]string{"cert.crt"}, "cert.crt"},
		"the other":           {[]string{"cert.pem"}, "cert.pem"},
		"both":                {[]string{"cert.crt", "cert.pem"}, "cert.crt"},
		"none":                {nil, "cert.crt"},
		"a file that is none": {[]string{"cert.key"}, "cert.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := t.TempDir()
			for _, file := range test.existing {
				if err := os.WriteFile(filepath.Join(directory, file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			files := entrypointCertFiles()
			for i := range files {
				files[i] = filepath.Join(directory, filepath.Base(files[i]))
			}
			if got := filepath.Base(firstExisting(files)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	want := []string{"/var/lib/secrets/cert.crt", "/var/lib/secrets/cert.pem"}
	if got := entrypointCertFiles(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
