package conf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
)

// marker is a secret. No error message has this word.
const marker = "s3cr3t"

// spoiled returns variants of a definition in which one line has the marker as its value, or beside it. The variants
// have the usual mistakes in YAML. Only the first lines are used, since long files repeat one line.
func spoiled(content string) []string {
	var all []string
	lines := strings.SplitAfter(content, "\n")
	for i, line := range lines[:min(len(lines), 50)] {
		key, value, found := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		first := i == 0 && strings.HasPrefix(strings.TrimSpace(line), "name: ")
		if !found || strings.TrimSpace(value) == "" || first || strings.HasPrefix(line, "inherits:") {
			continue
		}
		for _, bad := range []string{
			": " + marker, ":" + marker, ": " + marker + " x: y", ": *" + marker, ": &" + marker, ": !" + marker + " 1",
			": !!int " + marker, ": [" + marker + "]", ": {" + marker + ": " + marker + "}", ": {" + marker + "}",
			": {a:" + marker + ", b: c}", ": \"" + marker, ": '" + marker + " \\'", ": @" + marker, ": `" + marker + "`",
			": %" + marker, ": \"" + marker + "\\q\"", ": |" + marker, ": " + marker + "!@ ",
			": " + strings.Repeat(marker+"/", 2000), ": 1e" + marker, ": -9" + strings.Repeat("9", 30) + marker,
			": ${" + marker + "}", ": ${pod." + marker + "}", ": \"" + marker + ":${x}\"", ": !!binary " + marker,
			": true\n  " + marker + ": x", ": x\n  \"" + marker + "=\": y", "=" + marker, " " + marker,
			": \"\\u0001" + marker + "\"", ": [{" + marker + ".x: " + marker + "}]", ": {? [" + marker + "] : x}",
			": {\"a b " + marker + "\": x}", ": 10.0." + marker, ": ../" + marker, ": {<<: " + marker + "}",
			": {x:" + marker + ", x:" + marker + "}",
		} {
			all = append(all, strings.Join(lines[:i], "")+key+bad+"\n"+strings.Join(lines[i+1:], ""))
		}
	}
	return all
}

// No error has a value of the document, or a key that may be a value.
func TestErrorsHaveNoValues(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join("testdata", "*valid", "*.yaml"))
	if err != nil || len(paths) < 50 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	const every = 23                // all variants take minutes
	previous := conf.Load(nil, nil) // the Pod Security library is loaded once
	tried := 0
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range spoiled(string(content)) {
			if tried++; tried%every == 0 {
				checkNoMarker(t, previous, bad)
			}
		}
	}
}

// checkNoMarker fails if an error has the marker, unless it is the name of a parameter, resource, label or
// annotation, or that of a container or volume in a violation of a Pod Security level.
func checkNoMarker(t *testing.T, previous *conf.Set, bad string) {
	t.Helper()
	documents := inMap("m", bad)
	for _, rejection := range conf.Load(documents, previous).Rejections {
		for _, err := range rejection.Errors.Errors {
			text := strings.ReplaceAll(err.Error(), "["+marker+"]", "")
			if strings.Contains(text, "violates the Pod Security level") {
				text = strings.NewReplacer(`"`+marker+`"`, "", `"1e`+marker+`"`, "").Replace(text)
			}
			if strings.Contains(text, marker) {
				t.Errorf("%.200q of\n%.300s", text[max(0, strings.Index(text, marker)-120):], bad)
			}
		}
	}
	for _, document := range documents {
		if _, err := document.JSON(); err != nil && strings.Contains(err.Error(), marker) {
			t.Errorf("as a manifest: %.300s", err)
		}
	}
}
