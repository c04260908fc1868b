package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// defaultConfigDirectory is the default of --config-directory.
const defaultConfigDirectory = "conf/"

// definitionOptions select the config directory.
type definitionOptions struct {
	flags     *pflag.FlagSet
	directory string
}

func (o *definitionOptions) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringVar(&o.directory, "config-directory", defaultConfigDirectory,
		"directory of the sidecar definitions, *.yaml and *.yml")
	bindEnv(flags, "config-directory", "CONFIG_DIR")
}

// exists reports whether there is a config directory. One that is set explicitly may appear later.
func (o *definitionOptions) exists() bool {
	if o.flags.Changed("config-directory") {
		return true
	}
	_, err := os.Stat(o.directory)
	return !errors.Is(err, fs.ErrNotExist)
}

func (o *definitionOptions) newSource(log zerolog.Logger) watcher.Source {
	return watcher.NewDirectory(o.directory, log)
}

// samplesPlace is the place in the origin of the built-in samples.
const samplesPlace = "built-in samples"

// samples is the source of the built-in samples, which never change.
type samples struct{}

func (samples) String() string { return samplesPlace }

func (samples) Documents(context.Context) ([]conf.Document, error) {
	return conf.Documents(conf.Samples(), samplesPlace)
}

func (samples) Run(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}
