package watcher

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// maxFileSize limits the memory for a file. It is far above the size of a sidecar or certificate.
const maxFileSize = 1 << 20

// openFlags open a FIFO without waiting for a writer.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// readRegular reads and closes a regular file of at most maxFileSize bytes. Its arguments are the results of opening
// the file with openFlags.
func readRegular(file *os.File, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("is a directory")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	}
	// The file may grow, so its size from Stat is no limit.
	content, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if len(content) > maxFileSize {
		err = fmt.Errorf("is larger than %d bytes", maxFileSize)
	}
	return content, err
}
