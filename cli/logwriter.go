package cli

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxPending is how many bytes of the log wait for a reader that is slow: some thousands of lines.
	maxPending = 1 << 20
	// flushTimeout is how long the end of the program waits for the reader of the log.
	flushTimeout = time.Second
)

// logWriter writes the log without ever blocking who logs. While the reader stalls, lines wait in a
// buffer; once that is full, they are dropped and counted. It is safe for concurrent use.
//
// Zerolog's diode is similar, but counts what it drops only when the reader is back, bounds lines
// rather than bytes, and cannot be closed while the reader stalls.
type logWriter struct {
	out     io.Writer
	dropped atomic.Uint64

	// recovered is called with the number of lines dropped when the reader is back. It may log.
	recovered func(lines uint64)

	mutex   sync.Mutex
	changed sync.Cond
	pending []byte
	closed  bool
	done    chan struct{}
}

// newLogWriter returns a writer to which nothing is written before start.
func newLogWriter(out io.Writer) *logWriter {
	l := &logWriter{out: out, done: make(chan struct{}), recovered: func(uint64) {}}
	l.changed.L = &l.mutex
	return l
}

// start begins to write. It must be called once, and close afterwards.
func (l *logWriter) start() {
	go l.run()
}

// metric returns the counter of lines dropped.
func (l *logWriter) metric() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "sidecar_injector_log_lines_dropped_total",
		Help: "Log lines dropped because the reader of standard error was too slow.",
	}, func() float64 { return float64(l.dropped.Load()) })
}

// Write implements io.Writer. It drops the line if the buffer is full, which is no error.
func (l *logWriter) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.pending)+len(line) > maxPending {
		l.dropped.Add(1)
		return len(line), nil
	}
	l.pending = append(l.pending, line...)
	l.changed.Signal()
	return len(line), nil
}

// run writes what is pending until close, and then the rest.
func (l *logWriter) run() {
	defer close(l.done)
	var lines []byte
	var reported uint64
	for {
		l.mutex.Lock()
		for len(l.pending) == 0 && !l.closed {
			l.changed.Wait()
		}
		l.pending, lines = lines[:0], l.pending
		l.mutex.Unlock()
		if len(lines) == 0 {
			return
		}
		if dropped := l.dropped.Load(); dropped > reported {
			l.recovered(dropped - reported) // now there is room for its line
			reported = dropped
		}
		_, _ = l.out.Write(lines) // there is nowhere to report an error
	}
}

// close writes what is pending, for flushTimeout at most.
func (l *logWriter) close() {
	l.mutex.Lock()
	l.closed = true
	l.changed.Signal()
	l.mutex.Unlock()
	select {
	case <-l.done:
	case <-time.After(flushTimeout):
	}
}
