package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// name is the name of the binary, and the title of the image.
const name = "k8s-sidecar-injector"

// entrypoint is a link to the binary.
const entrypoint = "bin/entrypoint.sh"

// release is the input of an archive.
type release struct {
	image, version, revision string
	time                     time.Time
	binaries                 []binary
}

// binary is the program for a platform.
type binary struct{ system, architecture, path string }

// index returns the index of the archive. It refers to an index with an image for each platform, by the name and tag
// that docker, containerd and podman load.
func (r release) index() (v1.ImageIndex, error) {
	platforms := v1.ImageIndex(empty.Index)
	for _, b := range r.binaries {
		image, err := r.imageOf(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.path, err)
		}
		platforms = mutate.AppendManifests(platforms, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: b.system, Architecture: b.architecture},
		}})
	}
	return mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: platforms, Descriptor: v1.Descriptor{
		Annotations: map[string]string{
			"org.opencontainers.image.ref.name": r.version,
			"io.containerd.image.name":          r.image + ":" + r.version,
		},
	}}), nil
}

// imageOf returns the image of a platform. It has the configuration of the Dockerfile.
func (r release) imageOf(b binary) (v1.Image, error) {
	content, err := os.ReadFile(filepath.Clean(b.path))
	if err != nil {
		return nil, err
	}
	var files bytes.Buffer
	if err := writeRootFS(&files, content, r.time); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: r.time}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{
		Layer: layer, History: v1.History{Created: created, CreatedBy: "COPY /out/ /"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.OS, config.Architecture, config.Created, config.Config = b.system, b.architecture, created, r.config()
	return mutate.ConfigFile(image, config)
}

// config returns what the last stage of the Dockerfile sets. .ci/image compares them.
func (r release) config() v1.Config {
	return v1.Config{
		Env:          []string{"PATH=/bin"},
		WorkingDir:   "/",
		User:         "65532:65532",
		ExposedPorts: map[string]struct{}{"9443/tcp": {}, "9000/tcp": {}},
		Entrypoint:   []string{"/" + entrypoint},
		Labels: map[string]string{
			"org.opencontainers.image.title":       name,
			"org.opencontainers.image.description": "A mutating admission webhook for Kubernetes that adds sidecars to pods",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.version":     r.version,
			"org.opencontainers.image.revision":    r.revision,
		},
	}
}
