package watcher

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxFileSize is far above any real sidecar or certificate, and keeps a mistake from
// filling the memory.
const maxFileSize = 1 << 20

var (
	errDirectory = errors.New("is a directory")
	errIrregular = errors.New("is not a regular file")
	errTooBig    = fmt.Errorf("is larger than %d bytes", maxFileSize)
)

// opener is a place where files have names: an os.Root, or the whole file system.
type opener interface {
	Stat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error)
}

// everywhere is the whole file system.
type everywhere struct{}

func (everywhere) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (everywhere) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, mode)
}

// readRegular reads a regular file of at most maxFileSize bytes. The error is errDirectory,
// errIrregular or errTooBig where the file is not such a one.
func readRegular(place opener, name string) ([]byte, error) {
	// Opening a device can have effects, so it is looked at before.
	info, err := place.Stat(name)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(info); err != nil {
		return nil, err
	}
	// Whoever puts a FIFO in its place just now must not make us wait for a writer.
	file, err := place.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
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

// readLimited does not trust a size that was asked for before: the file may be growing.
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
