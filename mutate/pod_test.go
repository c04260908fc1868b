package mutate_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/mutate/jsonview"
	"k8s-sidecar-injector/store"
)

const review = "testdata/reviews/v1-deployment-pod.json"

func TestConcurrent(t *testing.T) {
	t.Parallel()
	snapshot := load(t, read(t, "testdata/reviews/sidecars.yaml"))
	policy := defaultPolicy()
	request := decodeReview(t, read(t, review))
	want := mutate.Pod(snapshot, policy, request).Patch
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 50 {
				if got := mutate.Pod(snapshot, policy, request).Patch; !bytes.Equal(got, want) {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
	group.Wait()
}

func TestDecision(t *testing.T) {
	t.Parallel()
	snapshot := load(t, read(t, "testdata/reviews/sidecars.yaml"))
	pod := func(request string) []byte {
		return encode(object{"metadata": object{"annotations": object{"injector.tumblr.com/request": request}}})
	}
	for _, test := range []struct {
		name, annotation string
		operation        string
		injected         bool
	}{
		{"injected", " Logger:v1", "CREATE", true},
		{"skipped", "none", "CREATE", false},
		{"unknown", "other", "CREATE", false},
		{"not a create", "logger:v1", "DELETE", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &testCase{request: createRequest()}
			c.request["operation"] = test.operation
			decision := decide(t, snapshot, defaultPolicy(), c.with(t, pod(test.annotation)))
			if decision.Request != test.annotation || decision.Generation != snapshot.Generation() {
				t.Errorf("request %q, generation %d", decision.Request, decision.Generation)
			}
			if (decision.Patch != nil) != test.injected || (len(decision.Sidecars) > 0) != test.injected {
				t.Errorf("patch %s, sidecars %v", decision.Patch, decision.Sidecars)
			}
			if test.injected && decision.Sidecars[0] != snapshot.Sidecar(conf.Ref{Name: "logger", Version: "v1"}) {
				t.Errorf("injected %s", decision.Sidecars[0].Ref)
			}
		})
	}
}

func TestEmptySnapshot(t *testing.T) {
	t.Parallel()
	var s store.Store
	decision := decide(t, s.Current(), defaultPolicy(), requestOf(t, read(t, review)))
	if decision.Reason != mutate.ReasonUnknownSidecar || decision.Generation != 0 {
		t.Errorf("generation %d: %s", decision.Generation, text(&decision))
	}
}

// A sidecar whose definition is rejected is unknown, and the message has the origin, not other versions.
func TestUnknownBecauseRejected(t *testing.T) {
	t.Parallel()
	snapshot, _ := tryLoad([]byte("name: logger:v1\nimgae: x\n---\nname: logger:v2\ncontainers: [{name: a, image: a}]\n"))
	c := &testCase{request: createRequest()}
	decision := decide(t, snapshot, defaultPolicy(), c.with(t, encode(object{
		"metadata": object{"annotations": object{"injector.tumblr.com/request": "logger:v1, logger:v3"}},
	})))
	const want = `annotation injector.tumblr.com/request: there is no sidecar "logger:v1": its definition in ` +
		`file conf/sidecars.yaml is rejected; there is no sidecar "logger:v3", but there is logger:v2`
	if decision.Reason != mutate.ReasonUnknownSidecar || decision.Message() != want {
		t.Errorf("got %s", text(&decision))
	}
}

// TestHostileMessages checks that messages are short and printable if the texts of a pod are not.
func TestHostileMessages(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte("name: logger:v1\nhostNetwork: true\ncontainers:\n- {name: app, image: app}\n"))
	hostile := strings.Repeat("\x1b[31m\r\n\u202e\u2028🙂", 20000)
	hostile = strings.ToValidUTF8(hostile[:300<<10], "")
	short := hostile[:strings.Index(hostile, "🙂")]
	ports := []any{
		object{"containerPort": 80, "hostPort": 81, "protocol": short},
		object{"containerPort": 80, "protocol": short},
	}
	many := []any{object{"name": hostile, "ports": ports}}
	for range 249 {
		many = append(many, object{"name": short, "ports": ports})
	}
	for _, test := range []struct {
		name, request string
		reason        mutate.Reason
	}{
		{"bad request", hostile, mutate.ReasonBadRequest},
		{"name too long", strings.Repeat("a", 300<<10), mutate.ReasonBadRequest},
		{"conflict", "logger:v1", mutate.ReasonConflict},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &testCase{request: createRequest()}
			decision := decide(t, snapshot, defaultPolicy(), c.with(t, encode(object{
				"metadata": object{"annotations": object{"injector.tumblr.com/request": test.request}},
				"spec":     object{"containers": many},
			})))
			if decision.Reason != test.reason {
				t.Errorf("got %s", text(&decision))
			}
			if len(decision.Message()) > 8<<10 {
				t.Errorf("the message has %d bytes", len(decision.Message()))
			}
			if at := strings.IndexFunc(decision.Message(), func(r rune) bool { return !unicode.IsPrint(r) }); at >= 0 {
				t.Errorf("the message has %q", decision.Message()[at:at+8])
			}
		})
	}
}

// TestHugePods checks that the time for a pod is linear in its size. Quadratic time would be
// minutes.
func TestHugePods(t *testing.T) {
	t.Parallel()
	const (
		mount = `{"name":"v#","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}`
		ours  = `{"name":"logs","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}`
	)
	volumes := `"volumes":[` + repeat(`{"name":"v#"}`, 1000) + `],`
	containers := func(container string, n int) string { return `"containers":[` + repeat(container, n) + `]` }
	snapshot := load(t, []byte(`
name: logger:v1
hostNetwork: true
serviceAccountName: logger
volumeMounts: [{name: logs, mountPath: /logs}]
volumes: [{name: logs, emptyDir: {}}]
`))
	for _, test := range []struct{ name, spec string }{
		{"ports", containers(`{"name":"a","ports":[`+repeat(`{"containerPort":1,"hostIP":"~"}`, 10000)+`]}`, 12)},
		{"equal ports", containers(`{"name":"a","ports":[`+repeat(`{"containerPort":1}`, 10000)+`]}`, 20)},
		{"volumes", volumes + containers(`{"volumeMounts":[`+mount+`]}`, 250)},
		{"mounts", volumes + containers(`{"volumeMounts":[`+repeat(ours, 10000)+`]}`, 6)},
		{"containers", containers(`{"name":"c#"}`, 250) + `,"initContainers":[` + repeat(`{"name":"i#"}`, 250) + `]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			pod := `{"metadata":{"annotations":{"injector.tumblr.com/request":"logger:v1"}},"spec":{` + test.spec + `}}`
			c := &testCase{request: createRequest()}
			request := decode(t, c.with(t, []byte(pod)))
			start := time.Now()
			decision := mutate.Pod(snapshot, defaultPolicy(), request)
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s for %d bytes: %s", took, len(pod), decision.Reason)
			}
		})
	}
}

// TestLimits checks that every list of a pod has a limit, which decoding enforces.
func TestLimits(t *testing.T) {
	t.Parallel()
	list := func(n int) string { return "[" + repeat(`{}`, n) + "]" }
	inContainer := func(field string) func(int) string {
		return func(n int) string { return `{"spec":{"containers":[{"` + field + `":` + list(n) + `}]}}` }
	}
	inSpec := func(field string) func(int) string {
		return func(n int) string { return `{"spec":{"` + field + `":` + list(n) + `}}` }
	}
	inMetadata := func(field string) func(int) string {
		return func(n int) string { return `{"metadata":{"` + field + `":{` + repeat(`"k#":""`, n) + `}}}` }
	}
	for path, c := range map[string]struct {
		most int
		what string
		pod  func(int) string
	}{
		"/object/spec/containers":                 {250, "containers", inSpec("containers")},
		"/object/spec/initContainers":             {250, "containers", inSpec("initContainers")},
		"/object/spec/volumes":                    {1000, "volumes", inSpec("volumes")},
		"/object/spec/hostAliases":                {10000, "elements", inSpec("hostAliases")},
		"/object/spec/imagePullSecrets":           {10000, "elements", inSpec("imagePullSecrets")},
		"/object/spec/tolerations":                {10000, "elements", inSpec("tolerations")},
		"/object/spec/topologySpreadConstraints":  {10000, "elements", inSpec("topologySpreadConstraints")},
		"/object/spec/containers/0/env":           {10000, "elements", inContainer("env")},
		"/object/spec/containers/0/envFrom":       {10000, "elements", inContainer("envFrom")},
		"/object/spec/containers/0/volumeMounts":  {10000, "elements", inContainer("volumeMounts")},
		"/object/spec/containers/0/volumeDevices": {10000, "elements", inContainer("volumeDevices")},
		"/object/spec/containers/0/ports":         {10000, "elements", inContainer("ports")},
		"/object/metadata/labels":                 {10000, "elements", inMetadata("labels")},
		"/object/metadata/annotations":            {10000, "elements", inMetadata("annotations")},
		"/object/metadata/ownerReferences": {10000, "elements", func(n int) string {
			return `{"metadata":{"ownerReferences":` + list(n) + `}}`
		}},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			if err := jsonv2.Unmarshal([]byte(`{"object":`+c.pod(c.most)+`}`), new(mutate.Request)); err != nil {
				t.Errorf("%d: %v", c.most, err)
			}
			view := jsonview.Of[mutate.Request]()
			if !view.Unmarshal([]byte(`{"object":`+c.pod(c.most)+`}`), new(mutate.Request)) ||
				view.Unmarshal([]byte(`{"object":`+c.pod(c.most+1)+`}`), new(mutate.Request)) {
				t.Error("the limit of the view is another one")
			}
			err := jsonv2.Unmarshal([]byte(`{"object":`+c.pod(c.most+1)+`}`), new(mutate.Request))
			want := fmt.Sprintf("%q: more than %d %s", path, c.most, c.what)
			if err == nil || mutate.DecodeError(err, "").Error() != want {
				t.Errorf("%d: want %s, got %v", c.most+1, want, err)
			}
		})
	}
}

// TestTooLarge checks that additions beyond the limit of the API server are a conflict.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	const head = `{"metadata":{"annotations":{"injector.tumblr.com/request":"logger:v1"}},"spec":{"containers":[`
	snapshot := load(t, []byte("name: logger:v1\nenv: [{name: BIG, value: "+strings.Repeat("x", 8000)+"}]\n"))
	request := decode(t, creating([]byte(head+repeat(`{}`, 250)+`]}}`)))
	decision := mutate.Pod(snapshot, defaultPolicy(), request)
	want := "sidecar logger:v1 does not fit this pod: more than 1572864 bytes would be added to the pod, " +
		"and API servers reject such pods"
	if decision.Reason != mutate.ReasonConflict || decision.Message() != want {
		t.Errorf("250 containers: %s: %s", decision.Reason, decision.Message())
	}
}

// TestExtendedAnnotationsTooLarge checks that the limit of all annotations counts an extended one once.
func TestExtendedAnnotationsTooLarge(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte("name: cache\nextendAnnotations: {big: word}\n"))
	annotations := map[string]string{
		"injector.tumblr.com/request": "cache", "injector.tumblr.com/status": "injected",
		"injector.tumblr.com/injected": "cache:latest@0123456789ab", "big": ",word",
	}
	room := conf.MostAnnotations
	for key, value := range annotations {
		room -= len(key) + len(value)
	}
	delete(annotations, "injector.tumblr.com/status")
	delete(annotations, "injector.tumblr.com/injected")
	for size, want := range map[int]mutate.Reason{room: mutate.ReasonInjected, room + 1: mutate.ReasonConflict} {
		annotations["big"] = strings.Repeat("x", size)
		decision := decide(t, snapshot, defaultPolicy(), creating(parameterPod(t, annotations)))
		if decision.Reason != want {
			t.Errorf("%d bytes: %s, want %s", size, text(&decision), want)
		}
	}
}

// repeat returns n elements, with # replaced by a number.
func repeat(element string, n int) string {
	elements := make([]string, n)
	for i := range elements {
		elements[i] = strings.ReplaceAll(element, "#", strconv.Itoa(i))
	}
	return strings.Join(elements, ",")
}

func createRequest() object {
	resource := object{"version": "v1", "resource": "pods"}
	return object{"operation": "CREATE", "namespace": "default", "resource": resource}
}

// TestDecodeLists checks that null and empty lists differ, and that elements that cannot matter to
// merging are dropped.
func TestDecodeLists(t *testing.T) {
	t.Parallel()
	type containers = mutate.Containers
	type names = mutate.List[mutate.Named]
	type ports = mutate.List[corev1.ContainerPort]
	for _, test := range []struct {
		spec string
		want mutate.Spec
	}{
		{`{}`, mutate.Spec{}},
		{`{"containers":null,"initContainers":[]}`, mutate.Spec{InitContainers: containers{}}},
		{`{"volumes":[{},null,{"name":"a"}]}`, mutate.Spec{Volumes: mutate.Volumes{{}, {}, {Name: "a"}}}},
		{`{"imagePullSecrets":[{},{"name":"a"},null]}`, mutate.Spec{ImagePullSecrets: names{{Name: "a"}}}},
		{`{"hostAliases":[{},{"ip":"a"}]}`, mutate.Spec{HostAliases: mutate.List[struct{}]{}}},
		{`{"nodeSelector":{}}`, mutate.Spec{NodeSelector: mutate.Map{}}},
		{`{"nodeSelector":null}`, mutate.Spec{}},
		{`{"nodeSelector":{"a":null,"b":"c"}}`, mutate.Spec{NodeSelector: mutate.Map{"a": "", "b": "c"}}},
		{
			`{"containers":[{"env":[],"volumeMounts":[{}],"volumeDevices":[null,{"devicePath":"/a"}]}]}`,
			mutate.Spec{Containers: containers{{
				Env: names{}, VolumeMounts: mutate.Mounts{}, VolumeDevices: mutate.List[corev1.VolumeDevice]{{DevicePath: "/a"}},
			}}},
		},
		{`{"containers":[{"env":null,"volumeMounts":null}]}`, mutate.Spec{Containers: containers{{}}}},
		{`{"containers":[null,{},null]}`, mutate.Spec{Containers: containers{nil, {}, nil}}},
		{`{"containers":[{"ports":null}]}`, mutate.Spec{Containers: containers{{}}}},
		{`{"containers":[{"ports":[null,{}]}]}`, mutate.Spec{Containers: containers{{Ports: ports{}}}}},
		{
			`{"containers":[{"ports":[{},{"hostPort":2,"hostIP":"c"},{"containerPort":3}]}]}`,
			mutate.Spec{Containers: containers{{Ports: ports{{HostPort: 2, HostIP: "c"}, {ContainerPort: 3}}}}},
		},
	} {
		t.Run(test.spec, func(t *testing.T) {
			t.Parallel()
			var got mutate.Spec
			if err := jsonv2.Unmarshal([]byte(test.spec), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			compareView(t, []byte(test.spec), &got)
		})
	}
}

// TestDecodeMemory checks that a list of empty objects does not take more memory than the request.
//
//nolint:paralleltest // it counts the allocations of the whole process
func TestDecodeMemory(t *testing.T) {
	const size = 2 << 20
	full := strings.Repeat(`{},`, size/3-100) + `{}`
	for _, test := range []struct{ name, head, tail string }{
		{"owners", `{"metadata":{"ownerReferences":[`, `]}}`},
		{"containers", `{"spec":{"containers":[`, `]}}`},
		{"ports", `{"spec":{"containers":[{"ports":[`, `]}]}}`},
		{"mounts", `{"spec":{"containers":[{"volumeMounts":[`, `]}]}}`},
		{"devices", `{"spec":{"containers":[{"volumeDevices":[`, `]}]}}`},
		{"env", `{"spec":{"containers":[{"env":[`, `]}]}}`},
		{"volumes", `{"spec":{"volumes":[`, `]}}`},
		{"aliases", `{"spec":{"hostAliases":[`, `]}}`},
		{"secrets", `{"spec":{"imagePullSecrets":[`, `]}}`},
		{"spread constraints", `{"spec":{"topologySpreadConstraints":[`, `]}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			object := new(mutate.Object)
			content := []byte(test.head + full + test.tail)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = jsonv2.Unmarshal(content, object) // may fail
			_ = jsonview.Of[mutate.Object]().Unmarshal(content, object)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > size {
				t.Errorf("%d KiB for %d KiB", took>>10, len(content)>>10)
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, object, want string }{
		{"annotations", `{"metadata":{"annotations":[]}}`, "unexpected array"},
		{"number", `{"metadata":{"annotations":{"a/b":1}}}`, "unexpected number"},
		{"number of ours", `{"metadata":{"annotations":{"a/request":1}}}`, "unexpected number"},
		{"twice", `{"metadata":{"annotations":{"a/request":"a","a/request":"b"}}}`, "duplicate"},
		{"cut short", `{"metadata":{"annotations":{"a/request":`, "unexpected EOF"},
		{"cut in a value", `{"metadata":{"annotations":{"a/request":"a`, "unexpected EOF"},
		{"cut in a name", `{"metadata":{"annotations":{"a/req`, "unexpected EOF"},
		{"cut in a comma", `{"metadata":{"annotations":{"a/request":"a"`, "unexpected EOF"},
		{"cut in a brace", `{"metadata":{"annotations":`, "unexpected EOF"},
		{"volumes", `{"spec":{"volumes":{}}}`, "/spec/volumes"},
		{"container", `{"spec":{"containers":[[]]}}`, "/spec/containers/0"},
		{"port", `{"spec":{"containers":[{"ports":[{"hostPort":4294967376}]}]}}`, "hostPort"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := jsonv2.Unmarshal([]byte(test.object), new(mutate.Object))
			if jsonview.Of[mutate.Object]().Unmarshal([]byte(test.object), new(mutate.Object)) {
				t.Error("it is accepted")
			}
			if err == nil || !strings.Contains(mutate.DecodeError(err, "").Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestBadVariables checks that variables of the wrong type are a bad review if a sidecar extends variables. The message
// has no values.
func TestBadVariables(t *testing.T) {
	t.Parallel()
	snapshot := load(t, []byte("name: plain\n---\nname: java\nextendEnv: [{name: A, value: s3cr3t}]\n"))
	for variable, want := range map[string]string{
		`{"name":"A","value":5}`:             `"/object/spec/containers/0/env/0/value": unexpected number`,
		`{"name":"A","value":["s3cr3t"]}`:    `"/object/spec/containers/0/env/0/value": unexpected array`,
		`{"name":"A","valueFrom":"s3cr3t"}`:  `"/object/spec/containers/0/env/0/valueFrom": unexpected string`,
		`{"name":"A","valueFrom":{"x":[1]}}`: "",
	} {
		const pod = `{"metadata":{"annotations":{"injector.tumblr.com/request":%q}},"spec":{"containers":[{"env":[%s]}]}}`
		plain := decide(t, snapshot, defaultPolicy(), creating(fmt.Appendf(nil, pod, "plain", variable)))
		if plain.Outcome != mutate.Injected {
			t.Errorf("%s, without extendEnv: %s", variable, text(&plain))
		}
		decision := decide(t, snapshot, defaultPolicy(), creating(fmt.Appendf(nil, pod, "java", variable)))
		if want == "" && decision.Outcome == mutate.Injected {
			continue
		}
		want = "not a valid pod: " + want
		if decision.Reason != mutate.ReasonBadReview || decision.Message() != want {
			t.Errorf("%s: %s, want %s", variable, text(&decision), want)
		}
	}
}

func TestDisplayName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ request, name, owner string }{
		{`{}`, "", ""},
		{`{"name":"a","object":{"metadata":{"name":"b","generateName":"c-"}}}`, "a", ""},
		{`{"object":{"metadata":{"name":"b","generateName":"c-"}}}`, "b", ""},
		{`{"object":{"metadata":{"generateName":"c-"}}}`, "c-*", ""},
		{
			`{"object":{"metadata":{"ownerReferences":[{"kind":"A","name":"a"},
			{"kind":"Job","name":"b","controller":true}]}}}`, "", "Job/b",
		},
		{`{"object":{"metadata":{"ownerReferences":[{"kind":"A","name":"a","controller":false}]}}}`, "", ""},
	} {
		t.Run(test.request, func(t *testing.T) {
			t.Parallel()
			r := decode(t, []byte(test.request))
			if name, owner := r.DisplayName(), r.Owner(); name != test.name || owner != test.owner {
				t.Errorf("got %q of %q, want %q of %q", name, owner, test.name, test.owner)
			}
		})
	}
}

func TestParseAction(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]mutate.Action{
		"admit": mutate.Admit, "deny": mutate.Deny, "": "", "Deny": "", "allow": "",
	} {
		got, err := mutate.ParseAction(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	if _, err := mutate.ParseAction("x\n"); err == nil || err.Error() != `"x\n" is neither admit nor deny` {
		t.Errorf("got %v", err)
	}
}

func BenchmarkPod(b *testing.B) {
	snapshot := load(b, read(b, "testdata/reviews/sidecars.yaml"))
	policy := defaultPolicy()
	request := decodeReview(b, read(b, review))
	if decision := mutate.Pod(snapshot, policy, request); decision.Outcome != mutate.Injected {
		b.Fatal(text(&decision))
	}
	b.ReportAllocs()
	for b.Loop() {
		mutate.Pod(snapshot, policy, request)
	}
}

func BenchmarkDecode(b *testing.B) {
	content := read(b, review)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		decodeReview(b, content)
	}
}
