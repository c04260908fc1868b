package inspect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// Settings are the flags of an installation that decide what a pod gets.
type Settings struct {
	// Directory is the config directory in the container. Empty means that there is none.
	Directory string
	// Documents are those of the config directory if it was read elsewhere. Directory is ignored then. Nil means that
	// it was not.
	Documents []conf.Document
	// ConfigMapLabels selects the ConfigMaps with definitions. Empty means that none are read.
	ConfigMapLabels    string
	ConfigMapNamespace string
	NamespaceDefaults  bool
	Rules              conf.Rules
	Policy             mutate.Policy
}

// Snapshot loads the definitions that an installation with these settings serves. The installation may be nil if
// the settings have no Directory, or have Documents.
func (c *Client) Snapshot(ctx context.Context, i *Installation, s *Settings) (*store.Snapshot, error) {
	documents, err := c.Documents(ctx, i, s)
	if err != nil {
		return nil, err
	}
	return s.Load(ctx, documents)
}

// Documents returns the documents that Snapshot loads.
func (c *Client) Documents(ctx context.Context, i *Installation, s *Settings) ([]conf.Document, error) {
	documents := slices.Clone(s.Documents)
	if s.Directory != "" && documents == nil {
		files, err := i.readDirectory(ctx, s.Directory)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			documents = append(documents, conf.OfFile(s.Directory, name, files[name])...)
		}
	}
	if s.ConfigMapLabels != "" {
		selector := map[string]string{"labelSelector": s.ConfigMapLabels}
		err := c.list(ctx, configMaps(), s.ConfigMapNamespace, selector, func(object jsontext.Value) error {
			configMap := new(corev1.ConfigMap)
			err := kjson.Unmarshal(object, configMap)
			documents = append(documents, conf.OfConfigMap(configMap)...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return documents, nil
}

// Load loads documents with the rules of the settings.
func (s *Settings) Load(ctx context.Context, documents []conf.Document) (*store.Snapshot, error) {
	set, err := s.Rules.Load(ctx, documents, nil)
	if err != nil {
		return nil, err
	}
	return publish(set), nil
}

func publish(set *conf.Set) *store.Snapshot {
	snapshots := new(store.Store)
	snapshots.Publish(set)
	return snapshots.Current()
}

// HasDirectory reports whether a volume is mounted at a directory of the container, or at one of its parents.
func (i *Installation) HasDirectory(directory string) bool {
	return slices.ContainsFunc(i.container.VolumeMounts, func(m corev1.VolumeMount) bool {
		_, inside := below(i.absolute(directory), path.Clean(m.MountPath))
		return inside
	})
}

// absolute returns the absolute path of a file in the container. The working directory of the image is /.
func (i *Installation) absolute(name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join("/", i.container.WorkingDir, name)
}

// below returns the path of a file relative to a directory, and whether it is in it.
func below(name, directory string) (relative string, found bool) {
	if name == directory || directory == "/" {
		return strings.TrimPrefix(name[len(directory):], "/"), true
	}
	return strings.CutPrefix(name, directory+"/")
}

// The files of a directory cannot be read if they are not in ConfigMaps.
var (
	errNotMounted   = errors.New("no ConfigMap is mounted there")
	errNotConfigMap = errors.New("is not a ConfigMap")
)

// readDirectory returns the files of a directory of the container by their paths below it. Only ConfigMaps that
// are mounted there can be read.
func (i *Installation) readDirectory(ctx context.Context, directory string) (map[string][]byte, error) {
	files, mounted := make(map[string][]byte), false
	absolute := i.absolute(directory)
	for _, mount := range i.container.VolumeMounts {
		at := path.Clean(mount.MountPath)
		_, contains := below(absolute, at)
		_, contained := below(at, absolute)
		if !contains && !contained {
			continue
		}
		mounted = true
		volume, err := i.readVolume(ctx, mount.Name)
		if err != nil {
			return nil, i.cannotRead(directory, err)
		}
		for name, content := range volume {
			relative, inside := below(path.Join("/", name), path.Join("/", mount.SubPath))
			name, found := below(path.Join(at, relative), absolute)
			if inside && found {
				files[name] = content
			}
		}
	}
	if !mounted {
		return nil, i.cannotRead(directory, errNotMounted)
	}
	return files, nil
}

func (i *Installation) cannotRead(directory string, err error) error {
	return fmt.Errorf("%s: cannot read the config directory %s: %w; pass a copy of it with --config-directory",
		i, directory, err)
}

// readVolume returns the files of a volume by their paths.
func (i *Installation) readVolume(ctx context.Context, name string) (map[string][]byte, error) {
	at := slices.IndexFunc(i.volumes, func(v corev1.Volume) bool { return v.Name == name })
	if at < 0 {
		return nil, fmt.Errorf("volume %s does not exist", name)
	}
	volume, files := i.volumes[at], make(map[string][]byte)
	switch {
	case volume.ConfigMap != nil:
		v := volume.ConfigMap
		return files, i.readConfigMap(ctx, v.Name, v.Items, v.Optional, files)
	case volume.Projected != nil:
		for _, source := range volume.Projected.Sources {
			if source.ConfigMap == nil {
				return nil, fmt.Errorf("volume %s has a source that %w", name, errNotConfigMap)
			}
			v := source.ConfigMap
			if err := i.readConfigMap(ctx, v.Name, v.Items, v.Optional, files); err != nil {
				return nil, err
			}
		}
		return files, nil
	}
	return nil, fmt.Errorf("volume %s %w", name, errNotConfigMap)
}

// readConfigMap adds the files of a mounted ConfigMap.
func (i *Installation) readConfigMap(
	ctx context.Context, name string, items []corev1.KeyToPath, optional *bool, files map[string][]byte,
) error {
	var object jsontext.Value
	configMap := new(corev1.ConfigMap)
	err := i.client.get(ctx, configMaps(), i.Namespace, name, &object)
	switch {
	case apierrors.IsNotFound(err) && optional != nil && *optional:
		return nil
	case err != nil:
		return err
	}
	if err := kjson.Unmarshal(object, configMap); err != nil {
		return err
	}
	content := configMap.BinaryData
	if content == nil {
		content = make(map[string][]byte)
	}
	for key, text := range configMap.Data {
		content[key] = []byte(text)
	}
	if items == nil {
		maps.Copy(files, content)
	}
	for _, item := range items {
		if text, found := content[item.Key]; found {
			files[path.Clean(item.Path)] = text
		}
	}
	return nil
}
