package conf_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s-sidecar-injector/conf"
)

// only loads a file of one valid definition.
func only(t *testing.T, definition string) *conf.Sidecar {
	t.Helper()
	set := conf.Load(documents("a.yaml", "name: x\n"+definition), nil)
	if len(set.Sidecars) != 1 {
		t.Fatal(show(set))
	}
	return set.Sidecars[0]
}

// An error names the field, and the values in it or near it, and has no value.
func TestRenderErrors(t *testing.T) {
	t.Parallel()
	const containers = "parameters: {a: {}, b: {}, c: {default: c}, num: {type: int}, q: {type: quantity}}\n" +
		"containers:\n- name: a\n  "
	for name, test := range map[string]struct {
		definition string
		values     []string
		numbers    []int
		want       string
	}{
		"one of several": {
			containers + "image: i\n  args: ['${b}']\n  ports: [{containerPort: '${num}'}]",
			[]string{"s3cr3t", "s3cr3t", "c", "70000", "1"},
			[]int{3},
			"containers[0].ports[0].containerPort: must be between 1 and 65535, inclusive",
		},
		"out of the range of the type": {
			containers + "image: '${a}'\n  ports: [{containerPort: '${num}'}]",
			[]string{"s3cr3t", "", "c", "9999999999", "1"},
			[]int{3},
			"containers[0].ports[0].containerPort: out of range",
		},
		"several in one field": {
			containers + "image: '${a}${c}${b}'",
			[]string{" s3cr3t", "s3cr3t", "c", "1", "1"},
			[]int{0, 1, 2},
			"containers[0].image: must not have leading or trailing whitespace",
		},
		"a field without an index": {
			containers + "image: '${a}'\n  volumeMounts: [{name: v, mountPath: /a, subPath: '${b}'}]",
			[]string{"s3cr3t", "../s3cr3t", "c", "1", "1"},
			[]int{1},
			"containers[0].volumeMounts.subPath: must not contain '..'",
		},
		"a limit": {
			containers + "image: '${a}'\n  resources: {limits: {cpu: '${q}'}, requests: {cpu: 2}}",
			[]string{"s3cr3t", "", "c", "1", "1"},
			[]int{4},
			"containers[0].resources.requests[cpu]: must be less than or equal to the limit",
		},
		"two mounts": {
			containers + "image: '${a}'\n  volumeMounts: [{name: v, mountPath: '/${b}'}, {name: w, mountPath: '/${c}'}]",
			[]string{"s3cr3t", "c", "c", "1", "1"},
			[]int{2},
			"containers[0].volumeMounts[1].mountPath: Duplicate value",
		},
		"a mount with the path of another": {
			containers + "image: '${a}'\n  volumeMounts: [{name: v, mountPath: '/${b}'}, {name: w, mountPath: /c}]",
			[]string{"s3cr3t", "c", "c", "1", "1"},
			[]int{1},
			"containers[0].volumeMounts[1].mountPath: Duplicate value",
		},
		"an empty subPath": {
			"parameters: {a: {}}\nvolumeMounts: [{name: v, mountPath: /a, subPath: '${a}'}]",
			[]string{""},
			[]int{0},
			"volumeMounts[0].subPath: must not be empty",
		},
		"a label": {
			"parameters: {a: {}, b: {}}\nlabels: {example.com/a: '${b}', a: '${a}'}",
			[]string{"s3cr3t", "s3cr3t!"},
			[]int{1},
			"labels[example.com/a]: a valid label must",
		},
		"a field of the pod": {
			"parameters: {a: {}}\nlabels: {a: '${a}', b: '${pod.labels.b}'}",
			[]string{"s3cr3t", "s3cr3t!"},
			[]int{1},
			"labels[b]: a valid label must",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := only(t, test.definition).Render(test.values)
			failed, ok := errors.AsType[*conf.RenderError](err)
			if !ok || !slices.Equal(failed.Values, test.numbers) || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("got %v (%+v), want values %v and %s", err, failed, test.numbers, test.want)
			}
			if strings.Contains(err.Error(), marker) {
				t.Errorf("the error has a value: %v", err)
			}
		})
	}
}

// Sample values are no defaults: a pod that has the same value is validated.
func TestRenderSampleValues(t *testing.T) {
	t.Parallel()
	s := only(t, "parameters: {a: {}}\nhostAliases: [{ip: '${a}'}]")
	for i := range 3 {
		sample := "x" + string(rune('0'+i))
		if _, err := s.Render([]string{sample}); err == nil {
			t.Errorf("%s: want an error", sample)
		}
	}
	if _, err := s.Render([]string{"10.0.0.1"}); err != nil {
		t.Error(err)
	}
}

// Rendering changes neither the sidecar nor what was rendered before.
func TestRenderIsPure(t *testing.T) {
	t.Parallel()
	s := only(t, "parameters: {a: {default: d}}\nlabels: {a: '${a}'}\nenv: [{name: A, value: '<${a}>'}]")
	render := func(value string) *conf.Sidecar {
		rendered, err := s.Render([]string{value})
		if err != nil {
			t.Fatal(err)
		}
		return rendered
	}
	b, c := render("b"), render("c")
	again, err := b.Render([]string{"d"})
	if err != nil {
		t.Fatal(err)
	}
	for want, got := range map[string]*conf.Sidecar{"d": s, "b": b, "c": c} {
		label, env := got.Elements("labels")[0].Value, string(got.Elements("env")[0].JSON)
		if label != want || env != `{"name":"A","value":"<`+want+`>"}` {
			t.Errorf("got %s and %s, want %s", label, env, want)
		}
	}
	if again.Elements("labels")[0].Value != "d" || render("d") != s {
		t.Errorf("with the default: %+v", again.Elements("labels")[0])
	}
}

// Whether a definition with parameters is valid depends on whether any value makes it so.
func TestDefinitionsWithoutDefaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ parameters, definition, want string }{
		{`{a: {}, b: {}}`, `volumeMounts: [{name: v, mountPath: '/${a}'}, {name: w, mountPath: '/${b}'}]`, ``},
		{`{}`, `volumeMounts: [{name: v, mountPath: '/${pod.labels.a}'}, {name: w, mountPath: '/${pod.labels.b}'}]`, ``},
		{
			`{a: {}}`,
			`volumeMounts: [{name: v, mountPath: '/${a}'}, {name: w, mountPath: '/${a}'}]`,
			`volumeMounts[1].mountPath: Duplicate`,
		},
		{
			`{a: {default: x}, b: {default: x}}`,
			`volumeMounts: [{name: v, mountPath: '/${a}'}, {name: w, mountPath: '/${b}'}]`,
			`volumeMounts[1].mountPath: Duplicate`,
		},
		{`{a: {enum: [../a, b]}}`, `volumeMounts: [{name: v, mountPath: /a, subPath: '${a}'}]`, ``},
		{
			`{a: {enum: [../a, ../b]}}`,
			`volumeMounts: [{name: v, mountPath: /a, subPath: '${a}'}]`,
			`volumeMounts.subPath: Invalid`,
		},
		{`{a: {pattern: '10\.[0-9]+'}}`, `hostAliases: [{ip: '${a}.0.1'}]`, ``},
		{`{a: {}}`, `hostAliases: [{ip: '10.${a}'}, {ip: '${a}.1'}, {ip: 'fd00${a}'}]`, ``},
		{`{a: {}}`, `hostAliases: [{ip: '10.x.${a}'}]`, `hostAliases[0].ip: Invalid`},
		{`{a: {}}`, `env: [{name: A, valueFrom: {fieldRef: {fieldPath: 'spec.${a}'}}}]`, ``},
		{
			`{a: {}}`,
			`env: [{name: A, valueFrom: {fieldRef: {fieldPath: 'sepc.${a}'}}}]`,
			`env[0].valueFrom.fieldRef.fieldPath: Invalid`,
		},
		{`{a: {type: int, min: 0}}`, `containers: [{name: a, image: a, ports: [{containerPort: '${a}'}]}]`, ``},
		{
			`{a: {type: int, min: 9999999999}}`,
			`containers: [{name: a, image: a, ports: [{containerPort: '${a}'}]}]`,
			`containers[0].ports[0].containerPort: Invalid`,
		},
		{`{a: {default: ''}}`, `volumeMounts: [{name: v, mountPath: /a, subPath: '${a}'}]`, ``},
		{`{a: {}}`, `labels: {'b c': '${a}'}`, `labels[?]: Forbidden`},
		{
			`{a: {type: int, default: '007'}}`,
			`containers: [{name: a, image: a, ports: [{containerPort: '${a}'}]}]`,
			`parameters[a].default: Invalid`,
		},
		{
			`{a: {type: quantity, default: 1e10000000}}`,
			`containers: [{name: a, image: a, resources: {limits: {cpu: '${a}'}}}]`,
			`parameters[a].default: Invalid`,
		},
		{
			`{a: {type: int, enum: [9e9]}}`,
			`containers: [{name: a, image: a, livenessProbe: {httpGet: {port: '${a}'}}}]`,
			`containers[0].livenessProbe.httpGet.port: Invalid`,
		},
		{`{a: {type: bool}}`, `containers: [{name: a, image: a, readinessProbe: {httpGet: {port: '${a}'}}}]`, ``},
		{
			`{}`,
			`volumes: [{name: v, ephemeral: {volumeClaimTemplate: {
				metadata: {creationTimestamp: '${pod.name}'}, spec: {accessModes: [a]}}}}]`,
			`accessModes`,
		},
	} {
		definition := "parameters: " + test.parameters + "\n" + test.definition
		set := conf.Load(documents("a.yaml", "name: x\n"+definition+"\n"), nil)
		if got := show(set); (len(set.Rejections) > 0) != (test.want != "") || !strings.Contains(got, test.want) {
			t.Errorf("%s:\ngot %s\nwant %q", definition, got, test.want)
		}
	}
}

// An escaped placeholder needs no parameter.
func TestEscapedPlaceholders(t *testing.T) {
	t.Parallel()
	s := only(t, "labels: null\nenv: [{name: A, value: '$${pod.name} ${HOME}', valueFrom: null}]")
	want := `{"name":"A","value":"${pod.name} ${HOME}","valueFrom":null}`
	if got := string(s.Elements("env")[0].JSON); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(s.Parameters) > 0 {
		t.Errorf("got %v, want no parameters", s.Parameters)
	}
}

// A new field of the Kubernetes API changes the golden file. Placeholders must not be allowed where a
// field identifies an element or controls access to the node.
func TestPlaceholderFields(t *testing.T) {
	t.Parallel()
	compareGolden(t, filepath.Join("testdata", "placeholders.txt"), strings.Join(conf.PlaceholderFields(), "\n")+"\n")
}
