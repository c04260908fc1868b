package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// entrypointName is the script that the original's image starts. In our image, the entry point is a link of that name
// to this program.
const entrypointName = "entrypoint.sh"

// entrypointCertFiles returns the default certificate files, in order of preference. The script uses the first one.
func entrypointCertFiles() []string {
	return []string{"/var/lib/secrets/cert.crt", "/var/lib/secrets/cert.pem"}
}

// setEntrypointDefaults sets the defaults of the script that differ from those of the flags.
func setEntrypointDefaults(flags *pflag.FlagSet) {
	for name, value := range map[string]string{
		"configmap-labels": "app=k8s-sidecar-injector",
		"tls-cert-file":    firstExisting(entrypointCertFiles()),
		"tls-key-file":     "/var/lib/secrets/cert.key",
	} {
		flag := flags.Lookup(name)
		flag.DefValue = value
		_ = flag.Value.Set(value) // a string accepts any value
	}
}

// entrypointGetenv ignores CONFIG_DIR if it is the default: the original's Deployment always sets it, also if all
// definitions are in ConfigMaps and the directory does not exist.
func entrypointGetenv(getenv func(string) string) func(string) string {
	return func(variable string) string {
		value := getenv(variable)
		if variable == "CONFIG_DIR" && filepath.Clean(value) == filepath.Clean(defaultConfigDirectory) {
			return ""
		}
		return value
	}
}

// firstExisting returns the first file that exists, or the first one if none exists.
func firstExisting(files []string) string {
	return files[max(0, slices.IndexFunc(files, exists))]
}

// exists reports whether the file exists. It may be unreadable.
func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}

// checkDefaultCertFile returns an error if the certificate is the default of entrypoint.sh and does not exist. A
// certificate file that a flag or variable names may appear later.
func checkDefaultCertFile(flags *pflag.FlagSet, file string) error {
	if flags.Changed("tls-cert-file") || exists(file) {
		return nil
	}
	return fmt.Errorf("no serving certificate; none of these files exists: %s; mount one of them, or set "+
		"TLS_CERT_FILE and TLS_KEY_FILE, or --self-managed-tls to keep a certificate in a Secret",
		strings.Join(entrypointCertFiles(), ", "))
}
