package cli

import (
	"k8s-sidecar-injector/server"
	"k8s-sidecar-injector/watcher"
)

// newStatus returns the options of the status page.
func newStatus(snapshots server.Snapshots, reloads *watcher.Reloader, expiry *watcher.Expiry) *server.StatusOptions {
	return &server.StatusOptions{
		Version: version(), Snapshots: snapshots, Certificate: expiry.Certificate,
		Sources: func() []server.Source {
			var sources []server.Source
			for _, state := range reloads.States() {
				sources = append(sources, describeSource(state))
			}
			return sources
		},
	}
}

func describeSource(state watcher.SourceState) server.Source {
	source := server.Source{Name: state.String(), Kind: "samples", State: server.SourceReady}
	switch state.Source.(type) {
	case *watcher.Directory:
		source.Kind = "directory"
	case *watcher.ConfigMaps:
		source.Kind = "configmaps"
	}
	if state.Err != nil {
		source.State, source.Error = server.SourceFailing, printable(state.Err.Error())
	}
	if !state.Read {
		source.State = server.SourceWaiting
	}
	return source
}
