package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table is a table of printable cells. The caption may be empty.
type table struct {
	Caption string
	Columns []string
	Rows    [][]string
}

func (t *table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

func (t *table) print(w io.Writer) {
	if t.Caption != "" {
		fmt.Fprintf(w, "%s:\n", t.Caption)
	}
	writeTable(w, append([][]string{texts(t.Columns, strings.ToUpper)}, t.Rows...))
}

// writeTable writes rows of cells in aligned columns, without spaces at the end of lines. The first is the
// heading: without another, nothing is written. Cells must be printable.
func writeTable(w io.Writer, rows [][]string) {
	if len(rows) < 2 {
		return
	}
	var aligned bytes.Buffer
	table := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	_ = table.Flush() // a buffer accepts all writes
	for line := range strings.Lines(aligned.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}
