package cli

import (
	"bytes"
	"errors"
	"testing"
)

// TestReportf verifies that a terminal does not interpret texts of a cluster.
func TestReportf(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	reportf(&text, "not read: %v\n", errors.New("a\x1b[31m\r\u009bé\u202e\n\t* c\xff"))
	if want := "not read: a\ufffd[31m\ufffd\ufffdé\ufffd\n\t* c\ufffd\n"; text.String() != want {
		t.Errorf("got %q, want %q", text.String(), want)
	}
}
