package cli

import (
	"io"
	"net/url"
	"path/filepath"
)

// The types of a SARIF 2.1.0 log, https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. They have the
// properties that GitHub code scanning requires.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool struct {
			Driver sarifDriver `json:"driver"`
		} `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string       `json:"id"`
		ShortDescription sarifMessage `json:"shortDescription"`
		FullDescription  sarifMessage `json:"fullDescription"`
		Help             sarifMessage `json:"help"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		Level     string          `json:"level"`
		Message   sarifMessage    `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifLocation struct {
		PhysicalLocation struct {
			ArtifactLocation struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
			Region struct {
				StartLine int `json:"startLine"`
			} `json:"region"`
		} `json:"physicalLocation"`
	}
)

// The IDs of the SARIF rules.
const (
	ruleInvalid  = "invalid-definition"
	ruleDoubtful = "doubtful-definition"
)

func sarifRules() []sarifRule {
	const help = "See docs/format/errors.md of k8s-sidecar-injector."
	return []sarifRule{
		{
			ruleInvalid,
			sarifMessage{"Invalid sidecar definition"},
			sarifMessage{"The injector rejects the definition."},
			sarifMessage{help},
		},
		{
			ruleDoubtful,
			sarifMessage{"Doubtful sidecar definition"},
			sarifMessage{"The definition is valid, but a part of it may be a mistake."},
			sarifMessage{help},
		},
	}
}

func (r *validateReport) printSARIF(w io.Writer) error {
	run := sarifRun{Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: programName, Version: version(), Rules: sarifRules()}
	for _, l := range r.loads {
		for _, f := range l.errors {
			run.Results = append(run.Results, newSARIFResult(ruleInvalid, "error", f))
		}
		for _, f := range l.warnings {
			run.Results = append(run.Results, newSARIFResult(ruleDoubtful, "warning", f))
		}
	}
	return printJSON(w, sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{run},
	})
}

func newSARIFResult(rule, level string, f finding) sarifResult {
	text := f.Message
	if f.Field != "" {
		text = f.Field + ": " + text
	}
	if f.Ref != "" {
		text = f.Ref + ": " + text
	}
	var at sarifLocation
	at.PhysicalLocation.ArtifactLocation.URI = sarifURI(f.File)
	at.PhysicalLocation.Region.StartLine = f.Line
	return sarifResult{rule, level, sarifMessage{text}, []sarifLocation{at}}
}

// sarifURI returns the relative URI of a file, if the file is below the working directory.
func sarifURI(file string) string {
	if root, err := filepath.Abs("."); err == nil && filepath.IsAbs(file) {
		if relative, err := filepath.Rel(root, file); err == nil && filepath.IsLocal(relative) {
			file = relative
		}
	}
	return (&url.URL{Path: filepath.ToSlash(file)}).String()
}
