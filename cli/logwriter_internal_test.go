package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// TestLogWriter verifies that close writes all lines, in order.
func TestLogWriter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := newLogWriter(&out)
	var want strings.Builder
	fmt.Fprintln(w, "before start")
	fmt.Fprintln(&want, "before start")
	go w.run(nil)
	for n := range 10_000 {
		fmt.Fprintln(w, n)
		fmt.Fprintln(&want, n)
	}
	w.close()
	if out.String() != want.String() {
		t.Errorf("got %d bytes, want %d", out.Len(), want.Len())
	}
	if got := w.dropped.Load(); got != 0 {
		t.Errorf("%d lines were dropped", got)
	}
}

// TestLogWriterDrops verifies that lines are dropped and counted while the output blocks, that the memory is bounded,
// and that the number of dropped lines is logged afterwards.
func TestLogWriterDrops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader, pipe := io.Pipe()
		w := newLogWriter(pipe)
		log := zerolog.New(w)
		go w.run(func(lines uint64) { log.Warn().Uint64("lines", lines).Msg("dropped") })
		line := strings.Repeat("x", 1000)
		const lines = 10_000
		log.Info().Msg(line)
		synctest.Wait() // the output blocks
		for range lines - 1 {
			log.Info().Msg(line)
		}
		dropped := w.dropped.Load()
		if dropped < lines-2*maxBuffered/1000 || dropped >= lines {
			t.Errorf("%d lines were dropped", dropped)
		}
		if size := cap(w.buffered); size > 2*maxBuffered {
			t.Errorf("%d bytes are pending", size)
		}
		var got bytes.Buffer
		read := make(chan error, 1)
		go func() {
			_, err := io.Copy(&got, reader)
			read <- err
		}()
		synctest.Wait()
		w.close()
		_ = pipe.Close()
		if err := <-read; err != nil {
			t.Error(err)
		}
		want := fmt.Sprintf(`{"level":"warn","lines":%d,"message":"dropped"}`, dropped)
		if text := got.String(); !strings.HasSuffix(text, want+"\n") || uint64(strings.Count(text, "\n")) != lines-dropped+1 {
			t.Errorf("want %s at the end of %d lines, got %d lines: %s",
				want, lines-dropped+1, strings.Count(text, "\n"), text[len(text)-100:])
		}
	})
}

// TestLogWriterCloseTimeout verifies that close returns although the output blocks.
func TestLogWriterCloseTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader, pipe := io.Pipe()
		w := newLogWriter(pipe)
		go w.run(nil)
		fmt.Fprintln(w, "line")
		start := time.Now()
		w.close()
		if took := time.Since(start); took != logCloseTimeout {
			t.Errorf("close took %s", took)
		}
		_ = reader.CloseWithError(errors.New("the end of the test"))
	})
}
