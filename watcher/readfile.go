package watcher

import (
	"bytes"
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
	var buffer bytes.Buffer
	err = readInto(&buffer, file, err)
	return buffer.Bytes(), err
}

// readInto is readRegular into a buffer, which it resets.
func readInto(buffer *bytes.Buffer, file *os.File, err error) error {
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("is a directory")
	case !info.Mode().IsRegular():
		return errors.New("is not a regular file")
	}
	buffer.Reset()
	// The file may grow, so its size from Stat is no limit.
	if _, err = buffer.ReadFrom(io.LimitReader(file, maxFileSize+1)); buffer.Len() > maxFileSize {
		err = fmt.Errorf("is larger than %d bytes", maxFileSize)
	}
	return err
}
