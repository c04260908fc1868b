package watcher

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxFileSize limits the memory for a file. It is far above the size of a sidecar or certificate.
const maxFileSize = 1 << 20

var (
	errDirectory = errors.New("is a directory")
	errIrregular = errors.New("is not a regular file")
	errTooBig    = fmt.Errorf("is larger than %d bytes", maxFileSize)
)

// fileSystem is an os.Root or the whole file system.
type fileSystem interface {
	Stat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error)
}

// hostFS is the whole file system.
type hostFS struct{}

func (hostFS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (hostFS) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, mode)
}

// readRegular reads a regular file of at most maxFileSize bytes. For other files, the error is
// errDirectory, errIrregular or errTooBig.
func readRegular(system fileSystem, name string) ([]byte, error) {
	// Stat first, because opening a device can have side effects.
	info, err := system.Stat(name)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(info); err != nil {
		return nil, err
	}
	// Without O_NONBLOCK, opening a FIFO that replaced the file would wait for a writer.
	file, err := system.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err = file.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkRegular(info); err != nil {
		return nil, err
	}
	return readLimited(file)
}

func checkRegular(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return errDirectory
	case !info.Mode().IsRegular():
		return errIrregular
	}
	return nil
}

// readLimited ignores the size from Stat, because the file may grow.
func readLimited(file io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFileSize {
		return nil, errTooBig
	}
	return content, nil
}
