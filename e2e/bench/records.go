package bench

import (
	"encoding/csv"
	"fmt"
	"os"
)

// record is a point of a plot.
type record struct {
	plot, series string
	x, y         float64
}

// writeRecords writes points as tab-separated values, with a header.
func writeRecords(file string, records []record) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	writer := csv.NewWriter(out)
	writer.Comma = '\t'
	rows := [][]string{{"plot", "series", "x", "y"}}
	for _, r := range records {
		rows = append(rows, []string{r.plot, r.series, fmt.Sprintf("%g", r.x), fmt.Sprintf("%.4g", r.y)})
	}
	err = writer.WriteAll(rows)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return err
}
