package cli

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxBuffered is the size of the buffer in bytes, enough for thousands of lines.
	maxBuffered = 1 << 20
	// logCloseTimeout limits how long close waits for the output.
	logCloseTimeout = time.Second
)

// logWriter is a buffered writer that never blocks. While the output blocks, lines are buffered. If the buffer is full,
// lines are dropped and counted. It is safe for concurrent use.
//
// Zerolog's diode is similar, but it counts dropped lines only after the output unblocks, limits the number of lines
// rather than bytes, and cannot be closed while the output blocks.
type logWriter struct {
	out     io.Writer
	dropped atomic.Uint64
	done    chan struct{} // closed when all lines are written after close

	mutex    sync.Mutex
	changed  sync.Cond // buffer or closed
	buffered []byte
	closed   bool
}

// newLogWriter returns a writer that only buffers until run is called.
func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out, done: make(chan struct{})}
	w.changed.L = &w.mutex
	return w
}

// metric returns the counter of dropped lines.
func (w *logWriter) metric() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "sidecar_injector_log_lines_dropped_total",
		Help: "Log lines dropped because the reader of standard error was too slow.",
	}, func() float64 { return float64(w.dropped.Load()) })
}

// Write buffers or drops the line. It never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if len(w.buffered)+len(line) > maxBuffered {
		w.dropped.Add(1)
		return len(line), nil
	}
	w.buffered = append(w.buffered, line...)
	w.changed.Signal()
	return len(line), nil
}

// run writes the buffer to the output until close is called and the buffer is empty. After lines were dropped and the
// output has unblocked, it calls the function with their number. The function may write to w.
func (w *logWriter) run(recovered func(lines uint64)) {
	defer close(w.done)
	var lines []byte
	var reported uint64
	for {
		w.mutex.Lock()
		for len(w.buffered) == 0 && !w.closed {
			w.changed.Wait()
		}
		w.buffered, lines = lines[:0], w.buffered // reuses the memory of the previous lines
		dropped := w.dropped.Load()
		w.mutex.Unlock()
		if len(lines) == 0 {
			return
		}
		if dropped > reported {
			recovered(dropped - reported)
			reported = dropped
		}
		_, _ = w.out.Write(lines) // an error could only be logged
	}
}

// close writes the buffer to the output. It returns after logCloseTimeout even if the output blocks.
func (w *logWriter) close() {
	w.mutex.Lock()
	w.closed = true
	w.changed.Signal()
	w.mutex.Unlock()
	select {
	case <-w.done:
	case <-time.After(logCloseTimeout):
	}
}
