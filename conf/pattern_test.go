package conf_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
)

// Whatever a document has for patterns, it takes little memory, and the document is rejected.
//
//nolint:paralleltest // it measures the memory of the whole process
func TestPatternsTakeLittleMemory(t *testing.T) {
	one := func(text string) []conf.Document {
		return documents("a.yaml",
			fmt.Sprintf("name: a\nparameters: {p: {pattern: '%s'}}\nenv: [{name: A, value: '${p}'}]\n", text))
	}
	many := func(text string) []conf.Document {
		return documents("a.yaml", series(900, func(i int) string {
			return fmt.Sprintf("name: a%d\nparameters: {p: {pattern: '%s'}}\n", i, text)
		}))
	}
	for name, c := range map[string]struct {
		documents []conf.Document
		want      string
	}{
		"long": {
			one(strings.Repeat("(?:a*b*c*){1000}", 350)), "pattern: Invalid value: is longer than 1024 bytes",
		},
		"repeats":           {one("(?:a*b*c*){1000}"), "takes more than 1000 instructions"},
		"nested repeats":    {one("(?:(?:(?:ab?){9}){9}){9}"), "takes more than 1000 instructions"},
		"classes":           {one(`(?:\pL\PN){200}`), "takes more than 1000 instructions"},
		"alternatives":      {one("(?:" + strings.Repeat("ab|cd|", 80) + "x){5}"), "takes more than 1000 instructions"},
		"many alternatives": {one(strings.Repeat("(", 300) + strings.Repeat("|a?)", 300)), "is longer than"},
		"empty loops":       {one("(?:(?:(?:^)*)*){900}"), "takes more than 1000 instructions"},
		"folded ranges":     {one("(?i)" + strings.Repeat("[B-𞥂]", 100)), "with (?i) it may have ASCII characters only"},
		"folded classes":    {one(`(?i)[\pL]`), "with (?i) it may have ASCII characters only"},
		"flags":             {one(`a(?s-m:b)(?mi:\x{fff}c)`), "with (?i) it may have ASCII characters only"},
		"many":              {many("[a-z]{400}"), "may cost 8 MiB in all"},
		"many defaults": {
			documents("a.yaml", series(900, func(i int) string {
				return fmt.Sprintf("name: a%d\nparameters: {p: {pattern: '(?:a*b*c*){9}', default: '%s'}}\n",
					i, strings.Repeat("a", 600))
			})), "may cost 8 MiB in all",
		},
		"matched": {
			documents("a.yaml", "name: a\nparameters: {p: {pattern: 'a*', default: "+strings.Repeat("a", 4097)+"}}\n"),
			"parameters[p].default: Invalid value: is longer than 4096 bytes",
		},
		"enum": {
			documents("a.yaml", "name: a\nparameters: {p: {type: quantity, enum: ["+strings.Repeat("1,", 101)+"]}}\n"),
			"parameters[p].enum: Too many: must have at most 100 items",
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := allocated()
			set := conf.Load(c.documents, nil)
			if took := allocated() - before; took > 256<<20 {
				t.Errorf("it takes %d bytes", took)
			}
			if got := show(set); !strings.Contains(got, c.want) {
				t.Errorf("got %.500s, want %q in it", got, c.want)
			}
		})
	}
}

// allocated is how many bytes this process has allocated until now.
func allocated() uint64 {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return memory.TotalAlloc
}

// A review matches the patterns of containers with each container of the pod, so there may be fewer of them.
func TestManyNamePatterns(t *testing.T) {
	t.Parallel()
	for field, most := range map[string]int{
		"allowedNamespaces": 250, "appliesTo.containers": 32, "appliesTo.initContainers": 32,
	} {
		list := func(n int) string {
			key, nested, _ := strings.Cut(field, ".")
			value := "[" + strings.Repeat("'a*', ", n) + "]"
			if nested != "" {
				value = "{" + nested + ": " + value + "}"
			}
			return "name: x\n" + key + ": " + value + "\n"
		}
		expect(t, field, conf.Load(documents("a.yaml", list(most)), nil).Rejections, nil)
		expect(t, field, conf.Load(documents("a.yaml", list(most+1)), nil).Rejections,
			[]string{fmt.Sprintf("%s: Too many: must have at most %d items", field, most)})
	}
}
