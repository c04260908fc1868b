package cli

import (
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// entrypointName is the script that the original is started by. Its image has one, and so have
// the Deployments that name it; ours has this program by that name.
const entrypointName = "entrypoint.sh"

// The defaults of that script which are not those of the flags anyway.
const (
	entrypointCertFile = "/var/lib/secrets/cert.pem"
	entrypointKeyFile  = "/var/lib/secrets/cert.key"
	entrypointLabels   = "app=k8s-sidecar-injector"
)

// likeEntrypoint tells whether the program was started by the name of the original's script.
func (p Process) likeEntrypoint() bool {
	return filepath.Base(p.Name) == entrypointName
}

// newEntrypoint is newServe with the defaults of the original's script. They count where there
// is neither flag nor variable.
func newEntrypoint(process Process) *cobra.Command {
	getenv := process.Getenv
	process.Getenv = withoutConfigDir(getenv)
	command := newServe(process)
	flags := command.Flags()
	setDefault(flags, "configmap-labels", entrypointLabels)
	setDefault(flags, "tls-cert-file", entrypointCertFile)
	setDefault(flags, "tls-key-file", entrypointKeyFile)
	command.PreRun = func(*cobra.Command, []string) {
		if asked(flags, "dev", getenv) || asked(flags, "self-managed-tls", getenv) {
			setDefault(flags, "tls-cert-file", "")
			setDefault(flags, "tls-key-file", "")
		}
	}
	return command
}

// withoutConfigDir takes a CONFIG_DIR that is the default for none. The original's Deployment sets it
// where there are only ConfigMaps, too, and the directory that was not asked for may be missing.
func withoutConfigDir(getenv func(string) string) func(string) string {
	return func(variable string) string {
		value := getenv(variable)
		if variable == "CONFIG_DIR" && filepath.Clean(value) == filepath.Clean(defaultConfigDirectory) {
			return ""
		}
		return value
	}
}

// setDefault gives a flag that is not on the command line a value, which a variable replaces.
func setDefault(flags *pflag.FlagSet, name, value string) {
	flag := flags.Lookup(name)
	if flag.Changed {
		return
	}
	flag.DefValue = value
	_ = flag.Value.Set(value) // a string takes any
}

// asked tells whether a flag, if there is one by this name, is given or has a variable that stands
// in for it, with another value than false.
func asked(flags *pflag.FlagSet, name string, getenv func(string) string) bool {
	flag := flags.Lookup(name)
	if flag == nil {
		return false
	}
	value := flag.Value.String()
	if variable := variableOf(flag); !flag.Changed && variable != "" && getenv(variable) != "" {
		value = getenv(variable)
	}
	on, err := strconv.ParseBool(value)
	return on || err != nil && value != ""
}
