package cli

import (
	"path/filepath"

	"github.com/spf13/pflag"
)

// The original's image starts the script entrypoint.sh. In our image, a link of that name starts this program.
const (
	entrypointName     = "entrypoint.sh"
	entrypointCertFile = "/var/lib/secrets/cert.pem"
	entrypointKeyFile  = "/var/lib/secrets/cert.key"
	entrypointLabels   = "app=k8s-sidecar-injector"
)

// isEntrypoint reports whether the program was started by the name of the script.
func isEntrypoint(name string) bool {
	return filepath.Base(name) == entrypointName
}

// setEntrypointDefaults sets the defaults of the script that differ from those of the flags. CONFIG_DIR is ignored if
// it is the default: the original's Deployment always sets it, also if all definitions are in ConfigMaps and the
// directory does not exist.
func setEntrypointDefaults(flags *pflag.FlagSet, getenv func(string) string) {
	setDefault(flags, "configmap-labels", entrypointLabels)
	setDefault(flags, "tls-cert-file", entrypointCertFile)
	setDefault(flags, "tls-key-file", entrypointKeyFile)
	if filepath.Clean(getenv("CONFIG_DIR")) == filepath.Clean(defaultConfigDirectory) {
		delete(flags.Lookup("config-directory").Annotations, variableAnnotation)
	}
}

// setDefault sets the default of a string flag before the command line is parsed.
func setDefault(flags *pflag.FlagSet, name, value string) {
	flag := flags.Lookup(name)
	flag.DefValue = value
	_ = flag.Value.Set(value) // a string accepts any value
}
