package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/rs/zerolog"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// samplesPlace is where the origins of the built-in samples are said to be.
const samplesPlace = "built-in samples"

// source gives the source that --config-directory names. Where it was not given and there is
// no ./conf, that is the built-in samples if they are allowed, else an error.
func (d *definitionFlags) source(log zerolog.Logger, allowSamples bool) (watcher.Source, error) {
	if d.Changed("config-directory") {
		return watcher.NewDirectory(d.configDirectory, log), nil
	}
	_, err := os.Stat(defaultConfigDirectory)
	if !errors.Is(err, fs.ErrNotExist) {
		return watcher.NewDirectory(defaultConfigDirectory, log), nil
	}
	if allowSamples {
		return samples{}, nil
	}
	return nil, errors.New("no sidecars to serve: give --config-directory, or make a directory conf here " +
		"(--configmap-labels, for definitions in ConfigMaps, comes with the next release; --dev serves built-in samples)")
}

// builtIn tells the built-in samples from definitions of the user's own.
func builtIn(source watcher.Source) bool {
	return source == samples{}
}

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
