package main

import (
	"archive/tar"
	"cmp"
	"io"
	"io/fs"
	"time"
)

// writeRootFS writes the files of the image.
func writeRootFS(w io.Writer, program []byte, modified time.Time) error {
	archive := tar.NewWriter(w)
	return cmp.Or(
		archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755, ModTime: modified}),
		archive.WriteHeader(&tar.Header{
			Typeflag: tar.TypeSymlink, Name: entrypoint, Linkname: name, Mode: 0o777, ModTime: modified,
		}),
		writeFile(archive, tar.Header{Name: "bin/" + name, Mode: 0o755, ModTime: modified}, program),
		archive.Close(),
	)
}

// pack writes all files of a file system, in the order of their names.
func pack(w io.Writer, files fs.FS, modified time.Time) error {
	archive := tar.NewWriter(w)
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || path == ".":
			return err
		case entry.IsDir():
			return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path + "/", Mode: 0o755, ModTime: modified})
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		return writeFile(archive, tar.Header{Name: path, Mode: 0o644, ModTime: modified}, content)
	})
	return cmp.Or(err, archive.Close())
}

func writeFile(archive *tar.Writer, header tar.Header, content []byte) error {
	header.Typeflag, header.Size = tar.TypeReg, int64(len(content))
	if err := archive.WriteHeader(&header); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}
