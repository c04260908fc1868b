package conf

import (
	"fmt"
	"runtime/debug"
	"time"
)

// maxTime bounds the work on one document. The other limits keep the time far below. If they fail, other
// documents are still loaded.
const maxTime = 5 * time.Second

var errSlow = fmt.Errorf("takes longer than %v to load", maxTime)

// PanicError is a panic of the code that loads documents. It does not have the value of the panic, which may
// quote a document.
type PanicError struct {
	Stack []byte
}

// Error implements error.
func (e *PanicError) Error() string {
	return "internal error: the code that loads it panicked"
}

// recovered calls work and returns its error, or a *PanicError if it panics.
func recovered(work func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = &PanicError{Stack: debug.Stack()}
		}
	}()
	return work()
}

// bounded calls work on one document. It returns an error if the work panics or takes too long.
func (h *holder) bounded(work func() error) error {
	h.started = time.Now()
	if err := recovered(work); err != nil {
		return err
	}
	return h.late()
}

// late returns an error if the work on the current document has taken too long, or if the context has ended.
// Work whose time depends on the size of the document calls it between its steps.
func (h *holder) late() error {
	if time.Since(h.started) > slowdown*maxTime {
		return errSlow
	}
	return h.ctxErr()
}
