package mutate_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"k8s-sidecar-injector/mutate"
)

func TestUnknownAnnotations(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte("name: logger:v1\nparameters: {level: {default: info}}\n"))
	const own = "injector.tumblr.com/"
	for name, test := range map[string]struct {
		annotations string
		reason      mutate.Reason
		want        []string
	}{
		"none": {`"team": "a"`, mutate.ReasonNoAnnotation, nil},
		"known": {
			`"@request": "logger:v1", "@param.level": "a", "@injected": "", "@status": ""`, mutate.ReasonInjected, nil,
		},
		"request": {
			`"@reqest": "logger:v1"`, mutate.ReasonNoAnnotation,
			[]string{`"@reqest" is unknown: did you mean "@request"?`},
		},
		"case": {
			`"@Request": "none"`, mutate.ReasonNoAnnotation, []string{`"@Request" is unknown: did you mean "@request"?`},
		},
		"injected": {`"@request": "logger:v1", "@x": ""`, mutate.ReasonInjected, []string{`"@x" is unknown`}},
		"denied": {
			`"@request": "?", "@params.a": "", "@parameter.b.c": "", "@parm.d": "", "@prama.e": ""`, mutate.ReasonBadRequest,
			[]string{
				`"@parameter.b.c" is unknown: did you mean "@param.b.c"?`, `"@params.a" is unknown: did you mean "@param.a"?`,
				`"@parm.d" is unknown: did you mean "@param.d"?`,
			},
		},
		"other domain":     {`"tumblr.com/reqest": "", "injector.tumblr.com": ""`, mutate.ReasonNoAnnotation, nil},
		"already injected": {`"@status": "injected", "@reqest": ""`, mutate.ReasonAlreadyInjected, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := `{"operation":"CREATE","namespace":"default","resource":{"version":"v1","resource":"pods"},` +
				`"object":{"metadata":{"annotations":{` + strings.ReplaceAll(test.annotations, "@", own) + `}},"spec":{}}}`
			d := decide(t, snapshot, defaultPolicy(), []byte(text))
			var want []string
			for _, warning := range test.want {
				want = append(want, "annotation "+strings.ReplaceAll(warning, "@", own))
			}
			if d.Reason != test.reason || !slices.Equal(d.Warnings, want) {
				t.Errorf("%s, warnings (-want +got):\n%s", d.Reason, cmp.Diff(want, d.Warnings))
			}
		})
	}
}
