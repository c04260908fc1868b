package conf

import (
	"fmt"
	"runtime/debug"
	"time"
)

// maxTime is how long the work on one document may take. The other limits keep it far below; this
// one keeps the documents of others loading where they do not.
const maxTime = 5 * time.Second

var errSlow = fmt.Errorf("takes longer than %v to load", maxTime)

// PanicError is a bug that a document met. The message does not have what the panic was about, since
// it may quote the document.
type PanicError struct {
	// Stack is that of the goroutine that panicked.
	Stack []byte
}

// Error implements error.
func (e *PanicError) Error() string {
	return "internal error: the code that loads it panicked"
}

// recovered calls work, and returns its error or a *PanicError.
func recovered(work func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = &PanicError{Stack: debug.Stack()}
		}
	}()
	return work()
}

// bounded does the work on one document. Neither a panic nor a slow document disturbs the others. Work
// on a base may be a part of the work on its heir.
func (l *loading) bounded(work func() error) error {
	outer := l.begun
	defer func() { l.begun = outer }()
	l.begun = time.Now()
	if err := recovered(work); err != nil {
		return err
	}
	return l.late()
}

// late returns an error once the current document has taken too long, or the context has ended. Work
// that depends on the size of the document looks here between its steps.
func (l *loading) late() error {
	if time.Since(l.begun) > maxTime {
		return errSlow
	}
	return l.ended()
}
