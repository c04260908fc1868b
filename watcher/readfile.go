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

// openFlags keep the opening of a FIFO from waiting for a writer.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// readRegular reads and closes a regular file of at most maxFileSize bytes. It returns the error of opening
// the file, if there is one. Open the file with openFlags.
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
	// The size from Stat does not count, because the file may grow.
	content, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if len(content) > maxFileSize {
		err = fmt.Errorf("is larger than %d bytes", maxFileSize)
	}
	return content, err
}
