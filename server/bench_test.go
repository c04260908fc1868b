package server_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"gomodules.xyz/jsonpatch/v2"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"k8s-sidecar-injector/server"
)

// BenchmarkReview measures a review of a Deployment pod by the webhook, by a handler that reads the body and
// writes a constant, and by a reference implementation.
func BenchmarkReview(b *testing.B) {
	for _, c := range contenders(b) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.body)))
			for b.Loop() {
				c.serve()
			}
		})
	}
}

// BenchmarkRatio measures the CPU time of the three alternately, so that other load hardly affects it, and compares the
// medians.
func BenchmarkRatio(b *testing.B) {
	medians := alternate(b, contenders(b))
	ours, constant, reference := medians[0], medians[1], medians[2]
	b.ReportMetric(ours/perRound/1e3, "µs-ours")
	b.ReportMetric(constant/perRound/1e3, "µs-constant")
	b.ReportMetric(reference/ours, "x-reference")
	b.ReportMetric(ours/constant, "x-constant")
}

// perRound is how often each is measured in turn.
const perRound = 100

// alternate returns the median CPU time of each, with that of collecting their garbage.
func alternate(b *testing.B, all []*contender) []float64 {
	b.Helper()
	times := make([][]time.Duration, len(all))
	for b.Loop() {
		for i, c := range all {
			start := cpuTime(b)
			for range perRound {
				c.serve()
			}
			times[i] = append(times[i], cpuTime(b)-start)
		}
	}
	medians := make([]float64, len(all))
	for i := range times {
		medians[i] = float64(median(times[i]))
	}
	return medians
}

// cpuTime returns the CPU time that the process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// contender is a handler with a request that it serves repeatedly.
type contender struct {
	name    string
	handler http.Handler
	body    []byte
	reader  *bytes.Reader
	request *http.Request
	writer  *discard
}

func newContender(tb testing.TB, name string, handler http.Handler) *contender {
	tb.Helper()
	return newContenderWith(tb, name, handler, recorded(tb, "v1-deployment-pod"))
}

func newContenderWith(tb testing.TB, name string, handler http.Handler, body []byte) *contender {
	tb.Helper()
	c := &contender{name: name, handler: handler, body: body, reader: new(bytes.Reader)}
	c.writer = &discard{header: make(http.Header)}
	c.request = newRequest(tb, nil)
	c.request.Body = io.NopCloser(c.reader)
	c.request.ContentLength = int64(len(c.body))
	c.serve()
	if c.writer.code != 0 || c.writer.written == 0 {
		tb.Fatalf("%s: got code %d and %d bytes", name, c.writer.code, c.writer.written)
	}
	return c
}

func (c *contender) serve() {
	c.reader.Reset(c.body)
	clear(c.writer.header)
	c.writer.written = 0
	c.handler.ServeHTTP(c.writer, c.request)
}

// contenders returns the webhook, the constant and the reference.
func contenders(tb testing.TB) []*contender {
	tb.Helper()
	ours := newContender(tb, "ours", benchWebhook(tb))
	answer := bytes.Repeat([]byte("x"), ours.writer.written)
	constant := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})
	return []*contender{ours, newContender(tb, "constant", constant), newContender(tb, "reference",
		http.HandlerFunc(referenceWebhook))}
}

func benchWebhook(tb testing.TB) *server.Webhook {
	tb.Helper()
	return benchWebhookOf(tb, sidecars)
}

func benchWebhookOf(tb testing.TB, yaml string) *server.Webhook {
	tb.Helper()
	snapshots := load(tb, yaml)
	metrics, err := server.NewMetrics(prometheus.NewRegistry(), snapshots)
	if err != nil {
		tb.Fatal(err)
	}
	return server.NewWebhook(server.NewLanes(), snapshots, nil, policy(), nil, metrics,
		zerolog.New(io.Discard).Level(zerolog.InfoLevel))
}

// discard is a minimal http.ResponseWriter.
type discard struct {
	header  http.Header
	code    int
	written int
}

func (d *discard) Header() http.Header  { return d.header }
func (d *discard) WriteHeader(code int) { d.code = code }

// Setting a deadline allocates nothing, as for a real connection. The error of a missing method would.
func (d *discard) SetReadDeadline(time.Time) error  { return nil }
func (d *discard) SetWriteDeadline(time.Time) error { return nil }
func (d *discard) FlushError() error                { return nil }

func (d *discard) Write(p []byte) (int, error) {
	d.written += len(p)
	return len(p), nil
}

// referenceWebhook decodes the types of the API, changes the pod, encodes it and computes a diff.
func referenceWebhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	var question admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &question); err != nil {
		panic(err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(question.Request.Object.Raw, &pod); err != nil {
		panic(err)
	}
	referenceInject(&pod)
	changed := must(json.Marshal(&pod))
	operations := must(jsonpatch.CreatePatch(question.Request.Object.Raw, changed))
	answer := admissionv1.AdmissionReview{TypeMeta: question.TypeMeta, Response: &admissionv1.AdmissionResponse{
		UID: question.Request.UID, Allowed: true,
		Patch: must(json.Marshal(operations)), PatchType: new(admissionv1.PatchTypeJSONPatch),
	}}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(must(json.Marshal(&answer)))
}

// referenceInject adds logger:v1.
func referenceInject(pod *corev1.Pod) {
	positions := corev1.VolumeMount{Name: "positions", MountPath: "/positions"}
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{
		Name: "logger", Image: "registry.example/logger:1.2.3", Args: []string{"--watch", "/var/log/app"},
		Env: []corev1.EnvVar{
			{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{
				FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"},
			}},
			{Name: "TOKEN", Value: "s3cr3t-env-value"},
		},
		Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9101}},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse("20m"), "memory": resource.MustParse("32Mi")},
			Limits:   corev1.ResourceList{"memory": resource.MustParse("64Mi")},
		},
		VolumeMounts: []corev1.VolumeMount{positions},
	}, corev1.Container{
		Name: "rotate", Image: "registry.example/rotate:2.0.0",
		Env:          []corev1.EnvVar{{Name: "KEEP", Value: "5"}},
		VolumeMounts: []corev1.VolumeMount{positions},
	})
	pod.Spec.Volumes = append(pod.Spec.Volumes,
		corev1.Volume{Name: "positions", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		corev1.Volume{
			Name: "app-logs",
			VolumeSource: corev1.VolumeSource{
				EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse("1Gi"))},
			},
		})
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			referenceShare(&list[i])
		}
	}
	pod.Annotations["injector.tumblr.com/status"] = "injected"
	pod.Annotations["injector.tumblr.com/injected"] = "logger:v1@0123456789ab"
}

func referenceShare(c *corev1.Container) {
	for _, e := range []corev1.EnvVar{
		{Name: "DATACENTER", Value: "from-sidecar"},
		{Name: "LOG_DIR", Value: "/var/log/app"},
	} {
		if !slices.ContainsFunc(c.Env, func(present corev1.EnvVar) bool { return present.Name == e.Name }) {
			c.Env = append(c.Env, e)
		}
	}
	mount := corev1.VolumeMount{Name: "app-logs", MountPath: "/var/log/app"}
	if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.Name == mount.Name ||
			m.MountPath == mount.MountPath
	}) {
		c.VolumeMounts = append(c.VolumeMounts, mount)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
