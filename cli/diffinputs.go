package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/inspect"
)

// diffInputs are the changed documents.
type diffInputs struct {
	directory  *configDirectory // nil to keep the config directory
	configMaps map[string]bool  // namespace/name of those that are replaced
	documents  []conf.Document  // of ConfigMaps
}

var errLooseDefinitions = errors.New(
	"definitions without a directory; pass the config directory, or manifests of ConfigMaps")

// readInputs reads the paths. It reports manifests that the injector does not read.
func (o *diffOptions) readInputs(
	ctx context.Context, settings *inspect.Settings, streams IOStreams, paths []string,
) (*diffInputs, error) {
	inputs := newInputs(o.recursive, streams.In)
	inputs.configMaps.namespace = settings.ConfigMapNamespace
	if settings.ConfigMapLabels != "" {
		e := new(flagErrors)
		if inputs.configMaps.selector = parseConfigMapLabels(e, settings.ConfigMapLabels); e.err() != nil {
			return nil, e.err()
		}
	}
	for _, path := range paths {
		if err := inputs.add(ctx, path); err != nil {
			return nil, err
		}
	}
	printSkipped(streams.ErrOut, inputs.configMaps.skipped)
	if faults := inputs.configMaps.faults; faults != nil {
		return nil, aggregate(asErrors(faults)...)
	}
	return o.newInputs(inputs, settings, streams)
}

func asErrors(faults []*conf.Error) []error {
	errs := make([]error, len(faults))
	for i, fault := range faults {
		errs[i] = fault
	}
	return errs
}

// newInputs returns the documents that the injector would read.
func (o *diffOptions) newInputs(
	inputs *validateInputs, settings *inspect.Settings, streams IOStreams,
) (*diffInputs, error) {
	in := &diffInputs{configMaps: make(map[string]bool)}
	if inputs.definitions != nil {
		return nil, looseDefinitions(inputs.definitions)
	}
	for _, d := range inputs.directories {
		if err := in.selectDirectory(d); err != nil {
			return nil, err
		}
	}
	for _, origin := range slices.SortedFunc(maps.Keys(inputs.configMaps.places), conf.Origin.Compare) {
		namespace, _, _ := strings.Cut(origin.Root, "/")
		switch {
		case origin.Name != "":
		case !o.inspection.local && settings.ConfigMapLabels == "":
			return nil, fmt.Errorf("%s: the injector reads no ConfigMaps", origin)
		case !o.inspection.local && namespace != settings.ConfigMapNamespace:
			fmt.Fprintf(streams.ErrOut, "skipped: %s: the injector reads namespace %s\n", origin, settings.ConfigMapNamespace)
		default:
			in.configMaps[origin.Root] = true
		}
	}
	for _, root := range inputs.configMaps.unselected {
		// The injector would not read a ConfigMap any more that loses the label.
		if namespace, _, _ := strings.Cut(root, "/"); namespace == settings.ConfigMapNamespace {
			in.configMaps[root] = true
		}
	}
	in.documents = slices.DeleteFunc(inputs.configMaps.documents, func(d conf.Document) bool {
		return !in.configMaps[d.Origin.Root]
	})
	return in, nil
}

// looseDefinitions returns the error of definitions without a directory. It is that of the first document that cannot
// be parsed, which may be a manifest.
func looseDefinitions(definitions []conf.Document) error {
	for _, d := range definitions {
		if _, err := d.JSON(); err != nil {
			return err
		}
	}
	return errLooseDefinitions
}

// selectDirectory selects a directory if it has definitions, and not only manifests.
func (in *diffInputs) selectDirectory(d *configDirectory) error {
	served := slices.DeleteFunc(slices.Clone(d.documents), func(d conf.Document) bool { return d.BaseOnly })
	switch {
	case len(d.reported) == 0:
		return nil
	case len(d.reported) < len(served):
		loose := slices.DeleteFunc(served, func(s conf.Document) bool { return !d.reported[s.Origin] })
		return fmt.Errorf("%s: %w", d.path, looseDefinitions(loose))
	case in.directory != nil:
		return fmt.Errorf("%s and %s both have definitions; pass one config directory", in.directory.path, d.path)
	}
	in.directory = d
	return nil
}

// replace returns the documents before and after the change. The files have the same paths in both, so that what is
// rejected can be compared.
func (in *diffInputs) replace(documents []conf.Document) (before, after []conf.Document) {
	created := make(map[string]time.Time)
	for _, d := range documents {
		isFile := d.Origin.Kind == conf.File
		if isFile && in.directory != nil {
			d.Origin.Root = in.directory.root()
		}
		before = append(before, d)
		switch {
		case isFile && in.directory != nil:
		case !isFile && in.configMaps[d.Origin.Root]:
			created[d.Origin.Root] = d.Created
		default:
			after = append(after, d)
		}
	}
	if in.directory != nil {
		after = append(after, in.directory.documents...)
	}
	for _, d := range in.documents {
		d.Created = created[d.Origin.Root]
		after = append(after, d)
	}
	return before, after
}

// root returns the Root of the origins of the documents. There must be at least one document.
func (d *configDirectory) root() string { return d.documents[0].Origin.Root }
