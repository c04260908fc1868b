package conf_test

import (
	"encoding/json"
	"testing"

	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/conf"
)

// TestJSONToYAML verifies that every character and escape of JSON can be converted.
func TestJSONToYAML(t *testing.T) {
	t.Parallel()
	const text = "\x7f\u0080\u0085\u009b\u2028\u2029\ufeff\ufffe\uffff\U0001f600é\x1b\n\\u0041/"
	encoded, err := json.Marshal(map[string]string{"a": text})
	if err != nil {
		t.Fatal(err)
	}
	for object, want := range map[string]string{
		string(encoded):                         text,
		`{"a": "\ud83d\ude00\/\u009b\\\u007f"}`: "\U0001f600/\u009b\\\x7f",
		"{\"a\": \"\u009b31m\"}":                "\u009b31m",
	} {
		var got map[string]string
		converted, err := conf.JSONToYAML([]byte(object))
		if err == nil {
			err = yaml.Unmarshal(converted, &got)
		}
		if err != nil || got["a"] != want {
			t.Errorf("%q: got %q, %v", object, got["a"], err)
		}
	}
}
