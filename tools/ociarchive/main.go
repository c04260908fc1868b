// Command ociarchive writes the image of the Dockerfile as an OCI archive, from binaries that are built already. The
// archive has an image for each platform. Equal arguments and binaries produce equal bytes.
//
//	ociarchive -image registry.example.com/team/k8s-sidecar-injector -version v1.2.3 -revision COMMIT -time 1700000000 \
//	  -output image.tar linux/amd64=PATH linux/arm64=PATH
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ociarchive:", err)
		os.Exit(1)
	}
}

func run() error {
	var r release
	flag.StringVar(&r.image, "image", "", "name of the image, without a tag")
	flag.StringVar(&r.version, "version", "", "tag and label")
	flag.StringVar(&r.revision, "revision", "", "label: the commit of the source")
	seconds := flag.Int64("time", 0, "Unix time of all files")
	output := flag.String("output", "", "file to write")
	flag.Parse()
	r.time = time.Unix(*seconds, 0).UTC()
	if r.image == "" || r.version == "" || *output == "" || flag.NArg() == 0 {
		return errors.New("-image, -version, -output and a PLATFORM=PATH are required")
	}
	for _, argument := range flag.Args() {
		platform, path, _ := strings.Cut(argument, "=")
		system, architecture, found := strings.Cut(platform, "/")
		if !found || path == "" {
			return fmt.Errorf("%q: want OS/ARCHITECTURE=PATH", argument)
		}
		r.binaries = append(r.binaries, binary{system, architecture, path})
	}
	return write(r, *output)
}

// write writes the archive of a release to a file.
func write(r release, output string) error {
	directory, err := os.MkdirTemp("", "ociarchive")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }()
	index, err := r.index()
	if err != nil {
		return err
	}
	root := filepath.Join(directory, "layout")
	if _, err := layout.Write(root, index); err != nil {
		return err
	}
	file, err := os.Create(filepath.Clean(output))
	if err != nil {
		return err
	}
	return cmp.Or(pack(file, os.DirFS(root), r.time), file.Close())
}
