package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/cli"
)

// sarifSchema has what SARIF 2.1.0 and GitHub code scanning require of the properties that are written.
const sarifSchema = `
type: object
required: [$schema, version, runs]
properties:
  version: {enum: ["2.1.0"]}
  runs:
    type: array
    minItems: 1
    items:
      type: object
      required: [tool, results]
      properties:
        tool:
          type: object
          required: [driver]
          properties:
            driver:
              type: object
              required: [name, rules]
              properties:
                rules:
                  type: array
                  items:
                    type: object
                    required: [id, shortDescription, fullDescription, help]
        results:
          type: array
          minItems: 3
          items:
            type: object
            required: [ruleId, level, message, locations]
            properties:
              ruleId: {enum: [invalid-definition, doubtful-definition]}
              level: {enum: [error, warning]}
              message:
                type: object
                required: [text]
                properties: {text: {type: string, minLength: 1}}
              locations:
                type: array
                minItems: 1
                items:
                  type: object
                  required: [physicalLocation]
                  properties:
                    physicalLocation:
                      type: object
                      required: [artifactLocation, region]
                      properties:
                        artifactLocation:
                          type: object
                          required: [uri]
                          properties: {uri: {type: string, pattern: '^[^/ :][^ :]*$'}}
                        region:
                          type: object
                          required: [startLine]
                          properties: {startLine: {type: integer, minimum: 1}}
`

func TestSARIF(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	for name, content := range map[string]string{
		"conf/a b.yaml":  "name: a\ncontainers: [{name: a, image: a}]\n",
		"conf/none.yaml": "",
		"conf/bad.yaml":  "name: [",
	} {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(root, filepath.Join(directory, "conf"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	streams := cli.IOStreams{In: nil, Out: &log, ErrOut: t.Output(), Getenv: func(string) string { return "" }}
	if code := cli.Run([]string{"k8s-sidecar-injector", "validate", relative, "-o", "sarif"}, streams); code != 1 {
		t.Errorf("the exit code is %d", code)
	}
	var value any
	if err := json.Unmarshal(log.Bytes(), &value); err != nil {
		t.Fatal(err)
	}
	schema := new(spec.Schema)
	if err := yaml.Unmarshal([]byte(sarifSchema), schema); err != nil {
		t.Fatal(err)
	}
	if err := validate.NewSchemaValidator(schema, nil, "", strfmt.Default).Validate(value).AsError(); err != nil {
		t.Errorf("%v in\n%s", err, log.String())
	}
}
