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

// directory gives the source that --config-directory names. Where it was not given, that is
// ./conf, or nil if there is no such directory.
func (d *definitionFlags) directory(log zerolog.Logger) watcher.Source {
	if d.Changed("config-directory") {
		return watcher.NewDirectory(d.configDirectory, log)
	}
	if _, err := os.Stat(defaultConfigDirectory); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return watcher.NewDirectory(defaultConfigDirectory, log)
}

// sources gives the config directory and the ConfigMaps, as far as there are any. The ConfigMaps
// alone are given once more; nil where they are turned off. Where there is neither, that is the
// built-in samples with --dev, else an error.
func (f *serveFlags) sources(log zerolog.Logger) ([]watcher.Source, *watcher.ConfigMaps, error) {
	var sources []watcher.Source
	if directory := f.directory(log); directory != nil {
		sources = append(sources, directory)
	}
	configMaps, err := f.configMaps(&f.clusterFlags, log)
	switch {
	case err != nil:
		return nil, nil, err
	case configMaps != nil:
		return append(sources, configMaps), configMaps, nil
	case sources == nil && f.dev:
		return []watcher.Source{samples{}}, nil, nil
	case sources == nil:
		return nil, nil, errors.New("no sidecars to serve: give --config-directory, or make a directory conf here, or give --configmap-labels, " +
			"for definitions in ConfigMaps (--dev serves built-in samples)")
	}
	return sources, nil, nil
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
