package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/watcher"
)

// configDirectory is a config directory and the documents of it that are reported.
type configDirectory struct {
	path      string
	documents []conf.Document
	reported  map[conf.Origin]bool
}

// validateInputs are the documents of all paths.
type validateInputs struct {
	kind       conf.Kind // of definitions that are not in ConfigMaps
	recursive  bool
	stdin      io.Reader
	configMaps configMapReader

	directories []*configDirectory
	definitions []conf.Document            // of standard input and pipes
	taken       map[string][]conf.Document // the definitions in each file that has manifests
}

// newInputs returns inputs without documents.
func newInputs(recursive bool, stdin io.Reader) *validateInputs {
	return &validateInputs{
		recursive: recursive, stdin: stdin, taken: make(map[string][]conf.Document),
		configMaps: configMapReader{places: make(places)},
	}
}

// errNothing is the error of a file or directory without definitions and manifests.
var errNothing = errors.New("no definitions there; want *.yaml or *.yml, and no dot files, or manifests of ConfigMaps")

// add adds the documents of a path.
func (in *validateInputs) add(ctx context.Context, path string) error {
	if path == "-" {
		return in.addStream("standard input", in.stdin)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return in.addTree(ctx, filepath.Clean(path))
	case !info.Mode().IsRegular():
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		return in.addStream(path, file)
	}
	return in.addFile(ctx, path)
}

// addStream adds manifests and definitions that can be read only once.
func (in *validateInputs) addStream(name string, stream io.Reader) error {
	content, err := readLimited(stream)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	documents := conf.SplitManifests(conf.Origin{Root: name}, content)
	if documents[0].Err != nil {
		return fmt.Errorf("%s: neither definitions nor ConfigMaps; it is empty", name)
	}
	definitions, _ := in.configMaps.read(name, documents)
	in.definitions = append(in.definitions, in.ofKind(definitions)...)
	return nil
}

// ofKind returns the documents with the kind that they will have.
func (in *validateInputs) ofKind(documents []conf.Document) []conf.Document {
	documents = slices.Clone(documents)
	for i := range documents {
		documents[i].Origin.Kind = in.kind
	}
	return documents
}

// maxManifests limits the memory for a file or stream of manifests.
const maxManifests = 16 << 20

func readLimited(stream io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(stream, maxManifests+1))
	if len(content) > maxManifests {
		err = fmt.Errorf("is larger than %d bytes", maxManifests)
	}
	return content, err
}

// addFile adds the manifests of a file. Its definitions are selected in its directory.
func (in *validateInputs) addFile(ctx context.Context, path string) error {
	definitions, found, err := in.take(path)
	if err != nil || found && len(definitions) == 0 {
		return err
	}
	d, err := in.directory(ctx, filepath.Dir(path))
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	if found {
		d.replaceFile(name, in.ofKind(definitions))
	}
	if d.selectFile(name) {
		return nil
	}
	if err := jsonError(path); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", path, errNothing)
}

// jsonError returns the syntax error of a JSON file.
func jsonError(path string) error {
	content, err := os.ReadFile(path)
	if err != nil || filepath.Ext(path) != ".json" {
		return err
	}
	_, err = conf.SplitManifests(conf.Origin{Name: path}, content)[0].JSON()
	return err
}

// addTree adds a directory and, if recursive is set, those below it that are not hidden.
func (in *validateInputs) addTree(ctx context.Context, root string) error {
	paths := []string{root}
	if in.recursive {
		var err error
		if paths, err = subdirectories(root); err != nil {
			return err
		}
	}
	found := false
	for _, path := range paths {
		added, err := in.addDirectory(ctx, path)
		if err != nil {
			return err
		}
		found = found || added
	}
	switch {
	case found:
		return nil
	case !in.recursive && slices.ContainsFunc(in.directories[len(in.directories)-1].documents, isNested):
		return fmt.Errorf("%s: %w; -R also reads subdirectories", root, errNothing)
	}
	return fmt.Errorf("%s: %w", root, errNothing)
}

func isNested(d conf.Document) bool { return strings.Contains(d.Origin.Name, "/") }

// subdirectories returns a directory and all below it that are not hidden. It does not follow symbolic links.
func subdirectories(root string) (paths []string, err error) {
	// The slash makes it follow the root itself.
	err = filepath.WalkDir(root+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		path = filepath.Clean(path)
		switch {
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		case path != root && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		}
		paths = append(paths, path)
		return nil
	})
	return paths, err
}

// addDirectory adds all manifests and definitions of a directory, and reports whether there are any.
func (in *validateInputs) addDirectory(ctx context.Context, path string) (found bool, err error) {
	d, err := in.directory(ctx, path)
	if err != nil {
		return false, err
	}
	files, err := d.files()
	if err != nil {
		return false, err
	}
	for _, name := range files {
		// The document of a file that cannot be read has the error.
		if definitions, isManifest, err := in.take(filepath.Join(path, name)); err == nil && isManifest {
			d.replaceFile(name, in.ofKind(definitions))
			found = true
		}
	}
	return d.selectFile("") || found, nil
}

// directory returns a directory, which is read once.
func (in *validateInputs) directory(ctx context.Context, path string) (*configDirectory, error) {
	for _, d := range in.directories {
		if d.path == path {
			return d, nil
		}
	}
	documents, err := in.readDirectory(ctx, path)
	if err != nil {
		return nil, err
	}
	d := &configDirectory{path, documents, make(map[conf.Origin]bool)}
	in.directories = append(in.directories, d)
	return d, nil
}

// take reads the manifests of a file once. It returns the definitions in the file, and whether there is a manifest. A
// file that cannot be opened is reported with its directory.
func (in *validateInputs) take(path string) (definitions []conf.Document, found bool, err error) {
	path = filepath.Clean(path)
	if definitions, found = in.taken[path]; found {
		return definitions, true, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, false, nil
	}
	defer file.Close()
	content, err := readLimited(file)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	if !bytes.Contains(content, []byte("apiVersion")) {
		return nil, false, nil
	}
	origin := conf.Origin{Root: filepath.Dir(path), Name: filepath.Base(path)}
	definitions, found = in.configMaps.read(path, conf.SplitManifests(origin, content))
	if found {
		in.taken[path] = definitions
	}
	return definitions, found, nil
}

// files returns the names of the files in the directory itself that may have manifests or definitions.
func (d *configDirectory) files() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		info, err := os.Stat(filepath.Join(d.path, name))
		known := slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) && !strings.HasPrefix(name, ".")
		if known && err == nil && info.Mode().IsRegular() {
			names = append(names, name)
		}
	}
	return names, nil
}

// replaceFile replaces the documents of a file in the directory itself.
func (d *configDirectory) replaceFile(name string, definitions []conf.Document) {
	isOfFile := func(document conf.Document) bool { return document.Origin.Name == name }
	d.documents = append(slices.DeleteFunc(d.documents, isOfFile), definitions...)
}

// selectFile selects the documents of a file, or all if it is empty. It reports whether there are any.
func (d *configDirectory) selectFile(file string) (found bool) {
	for _, document := range d.documents {
		if !document.BaseOnly && (file == "" || document.Origin.Name == file) {
			d.reported[document.Origin] = true
			found = true
		}
	}
	return found
}

// readDirectory returns the documents of a directory, or of a ConfigMap with the same content.
func (in *validateInputs) readDirectory(ctx context.Context, path string) ([]conf.Document, error) {
	documents, err := watcher.NewDirectory(path, zerolog.Nop()).Documents(ctx, nil)
	if in.kind == conf.File || err != nil {
		return documents, err
	}
	return in.ofKind(slices.DeleteFunc(documents, func(d conf.Document) bool { return d.BaseOnly })), nil
}

// loads returns the directories that are reported. Each also has the documents of ConfigMaps and streams, which are
// reported with the first one.
func (in *validateInputs) loads() []*configDirectory {
	var loads []*configDirectory
	for _, d := range in.directories {
		if len(d.reported) > 0 {
			loads = append(loads, d)
		}
	}
	if loads == nil {
		loads = []*configDirectory{{reported: make(map[conf.Origin]bool)}}
	}
	for _, d := range loads {
		for _, document := range slices.Concat(in.definitions, in.configMaps.documents) {
			d.documents = append(d.documents, document)
			d.reported[document.Origin] = true
		}
	}
	return loads
}
