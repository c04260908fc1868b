package bench

import (
	"encoding/csv"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// chart is a plot with its labels. Charts are drawn with logarithmic axes, so that a straight line at 45 degrees is
// proportional growth.
type chart struct{ name, title, xLabel, yLabel string }

// charts returns the plots of the points that Scale writes.
func charts() []chart {
	return []chart{
		{"time", "Start and edits by sidecars", "sidecars", "seconds"},
		{"memory", "Memory by sidecars", "sidecars", "MB"},
		{"containers", "CPU time of a review by containers added", "containers", "µs"},
		{"bytes", "CPU time of a review by its size", "bytes", "µs"},
	}
}

// Plot draws the points of a file as one SVG file for each plot in a directory.
func Plot(records, dir string) error {
	points, err := readRecords(records)
	if err != nil {
		return err
	}
	for _, c := range charts() {
		var own []record
		for _, p := range points {
			if p.plot == c.name {
				own = append(own, p)
			}
		}
		if len(own) == 0 {
			return fmt.Errorf("%s: no points of plot %s", records, c.name)
		}
		file := filepath.Join(dir, "performance-"+c.name+".svg")
		if err := os.WriteFile(file, []byte(c.draw(own)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readRecords reads the points that writeRecords wrote.
func readRecords(file string) (points []record, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	reader := csv.NewReader(strings.NewReader(string(content)))
	reader.Comma, reader.FieldsPerRecord = '\t', 4
	rows, err := reader.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, row := range rows[min(1, len(rows)):] {
		x, xErr := strconv.ParseFloat(row[2], 64)
		y, yErr := strconv.ParseFloat(row[3], 64)
		if xErr != nil || yErr != nil || x <= 0 || y <= 0 {
			return nil, fmt.Errorf("%s: x and y must be positive numbers: %q", file, row)
		}
		points = append(points, record{row[0], row[1], x, y})
	}
	return points, nil
}

// The size of a drawing, and the frame of the axes in it.
const (
	width, height            = 640, 400
	left, right, top, bottom = 64, 470, 48, 344
)

// style has colors for light and dark pages.
const style = `<style>
text{font:13px sans-serif;fill:#1f2328}.title{font-weight:bold;font-size:15px}.grid{stroke:#d1d9e0}
.line{fill:none;stroke-width:2}.s0{stroke:#0969da}.s1{stroke:#bc4c00}.s2{stroke:#1a7f37}
.d0{fill:#0969da}.d1{fill:#bc4c00}.d2{fill:#1a7f37}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.grid{stroke:#3d444d}.s0{stroke:#4493f8}.s1{stroke:#db6d28}
.s2{stroke:#3fb950}.d0{fill:#4493f8}.d1{fill:#db6d28}.d2{fill:#3fb950}}
</style>
`

// axis maps values to positions, logarithmically.
type axis struct{ low, high, from, to float64 }

// newAxis returns an axis that covers whole steps of values.
func newAxis(values []float64, from, to, base float64) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	logarithm := func(v float64) float64 { return math.Log(v) / math.Log(base) }
	low = math.Pow(base, math.Floor(logarithm(low)+1e-9))
	high = math.Pow(base, math.Ceil(logarithm(high)-1e-9))
	if high <= low {
		high = low * base
	}
	return axis{low, high, from, to}
}

func (a axis) at(v float64) float64 {
	return a.from + (a.to-a.from)*math.Log(v/a.low)/math.Log(a.high/a.low)
}

// draw returns the SVG of a chart. The series have the order of their first points.
func (c chart) draw(points []record) string {
	var xs, ys []float64
	for _, p := range points {
		xs, ys = append(xs, p.x), append(ys, p.y)
	}
	const decade = 10
	x, y := newAxis(xs, left, right, stepOf(xs)), newAxis(ys, bottom, top, decade)
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+
		"\n<title>%s</title>\n", width, height, width, height, html.EscapeString(c.title))
	svg.WriteString(style)
	text(&svg, left, 24, `class="title"`, c.title)
	for v := x.low; v <= x.high*1.001; v *= stepOf(xs) {
		fmt.Fprintf(&svg, `<path class="grid" d="M%.1f %dV%d"/>`+"\n", x.at(v), top, bottom)
		text(&svg, x.at(v), bottom+18, `text-anchor="middle"`, number(v))
	}
	for v := y.low; v <= y.high*1.001; v *= decade {
		fmt.Fprintf(&svg, `<path class="grid" d="M%d %.1fH%d"/>`+"\n", left, y.at(v), right)
		text(&svg, left-8, y.at(v)+4, `text-anchor="end"`, number(v))
	}
	text(&svg, (left+right)/2, bottom+40, `text-anchor="middle"`, c.xLabel)
	text(&svg, left-8, top-8, `text-anchor="end"`, c.yLabel)
	c.drawSeries(&svg, points, x, y)
	svg.WriteString("</svg>\n")
	return svg.String()
}

// drawSeries draws the lines, the points and the legend.
func (c chart) drawSeries(svg *strings.Builder, points []record, x, y axis) {
	var names []string
	lines := make(map[string][]record)
	for _, p := range points {
		if lines[p.series] == nil {
			names = append(names, p.series)
		}
		lines[p.series] = append(lines[p.series], p)
	}
	for n, name := range names {
		var path []string
		for _, p := range lines[name] {
			at := fmt.Sprintf("%.1f %.1f", x.at(p.x), y.at(p.y))
			path = append(path, at)
			fmt.Fprintf(svg, `<circle class="d%d" cx="%.1f" cy="%.1f" r="4"><title>%s, %s %s: %s %s</title></circle>`+"\n",
				n, x.at(p.x), y.at(p.y), html.EscapeString(name), number(p.x), c.xLabel, number(p.y), c.yLabel)
		}
		fmt.Fprintf(svg, `<path class="line s%d" d="M%s"/>`+"\n", n, strings.Join(path, "L"))
		legend := float64(top + 12 + 22*n)
		fmt.Fprintf(svg, `<circle class="d%d" cx="%d" cy="%.1f" r="5"/>`+"\n", n, right+20, legend-4)
		text(svg, right+32, legend, "", name)
	}
}

// stepOf returns the factor between the labels of the x axis: 10, or 2 if the values are close.
func stepOf(xs []float64) float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range xs {
		low, high = min(low, v), max(high, v)
	}
	if high/low < 100 {
		return 2
	}
	return 10
}

// text writes a text element.
func text(svg *strings.Builder, x, y float64, attributes, content string) {
	fmt.Fprintf(svg, `<text x="%.1f" y="%.1f" %s>%s</text>`+"\n", x, y, attributes, html.EscapeString(content))
}

// number formats a label with separators of thousands.
func number(v float64) string {
	if v < 1000 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
