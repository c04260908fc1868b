package bench_test

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/e2e/bench"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	values := []int{5, 1, 4, 2, 3, 10, 9, 8, 7, 6}
	for q, want := range map[float64]int{0: 1, 0.1: 1, 0.11: 2, 0.5: 5, 0.99: 10, 1: 10} {
		if got := bench.Quantile(values, q); got != want {
			t.Errorf("quantile %g is %d, want %d", q, got, want)
		}
	}
	if got := bench.Quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of no values is %d", got)
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	got := bench.Times(bench.Ratios([]float64{2, 6, 10}, []float64{2, 3, 2}))
	if want := "2.00 (1.00 to 5.00)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPrintTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	bench.PrintTable(&out, []string{"a", "b"}, [][]string{{"1", "2"}})
	if want := "\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestStatusSize(t *testing.T) {
	t.Parallel()
	status := []byte("VmHWM:\t  2048 kB\nVmRSS:\t     3 kB\n")
	if got := bench.StatusSize(status, "VmHWM"); got != 2<<20 {
		t.Errorf("VmHWM is %d", got)
	}
	if got := bench.StatusSize(status, "VmSwap"); got != 0 {
		t.Errorf("VmSwap is %d", got)
	}
}

// TestCPUTime reads the CPU time of this process.
func TestCPUTime(t *testing.T) {
	t.Parallel()
	before, err := bench.CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for {
		after, err := bench.CPUTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if before > 0 && after > before {
			return
		}
	}
}

func recorded(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile("../../server/testdata/reviews/v1-deployment-pod.json")
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestReview decodes reviews of several sizes.
func TestReview(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 9000, 100_000} {
		content, err := bench.NewReview(recorded(t), "sidecar-1:v1", size)
		if err != nil {
			t.Fatal(err)
		}
		if len(content) < size || len(content) > max(size, 7000)+200 {
			t.Errorf("the review has %d bytes, want %d", len(content), size)
		}
		var review admissionv1.AdmissionReview
		var pod corev1.Pod
		if err := json.Unmarshal(content, &review); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(review.Request.Object.Raw, &pod); err != nil {
			t.Fatal(err)
		}
		if got := pod.Annotations["injector.tumblr.com/request"]; got != "sidecar-1:v1" {
			t.Errorf("the request is %q", got)
		}
		fields := pod.ManagedFields[0].FieldsV1.GetRawString()
		for _, variable := range pod.Spec.Containers[0].Env {
			if !strings.Contains(fields, `"k:{\"name\":\"`+variable.Name+`\"}"`) {
				t.Errorf("managedFields do not have %s", variable.Name)
			}
		}
	}
}

func TestReviewWithoutRequest(t *testing.T) {
	t.Parallel()
	content, err := bench.NewReview(recorded(t), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(content), `"injector.tumblr.com/request":"`) {
		t.Error("the pod has the annotation")
	}
}

// TestSidecars checks the number and the size of the generated sidecars.
func TestSidecars(t *testing.T) {
	t.Parallel()
	checkSidecars(t, bench.WriteLong, 2600)
	checkSidecars(t, bench.WriteShort, 280)
}

func checkSidecars(t *testing.T, write func(string, int) (int, error), size int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "conf")
	files, err := write(dir, 25)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if files != 3 || len(entries) != 3 {
		t.Errorf("%d files of %d sidecars, want 3", len(entries), 25)
	}
	total, names := 0, 0
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		total += len(content)
		names += strings.Count("\n"+string(content), "\nname: ")
	}
	if names != 26 {
		t.Errorf("the files have %d documents, want the base and 25 sidecars", names)
	}
	if average := total / 26; average < size*9/10 || average > size*11/10 {
		t.Errorf("a sidecar has %d bytes, want about %d", average, size)
	}
}

func TestWriteRecords(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "records.tsv")
	if err := bench.WriteRecords(file, []bench.Record{bench.NewRecord("time", "start", 10, 0.25)}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if want := "plot\tseries\tx\ty\ntime\tstart\t10\t0.25\n"; err != nil || string(content) != want {
		t.Errorf("got %q, %v, want %q", content, err, want)
	}
}

// TestPlot draws points, and checks that the drawings are XML with all series.
func TestPlot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "records.tsv")
	var records []bench.Record
	for _, plot := range []string{"time", "memory", "containers", "bytes"} {
		for x := 10.0; x <= 10_000; x *= 10 {
			records = append(records, bench.NewRecord(plot, "a < b", x, x/1000), bench.NewRecord(plot, "c", x, x))
		}
	}
	if err := bench.WriteRecords(file, records); err != nil {
		t.Fatal(err)
	}
	if err := bench.Plot(file, dir); err != nil {
		t.Fatal(err)
	}
	for _, plot := range []string{"time", "memory", "containers", "bytes"} {
		content, err := os.ReadFile(filepath.Join(dir, "performance-"+plot+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(content, new(struct{ XMLName xml.Name })); err != nil {
			t.Error(err)
		}
		for _, want := range []string{">a &lt; b<", ">c<", ">10,000<", ">0.01<"} {
			if !strings.Contains(string(content), want) {
				t.Errorf("plot %s does not have %s", plot, want)
			}
		}
	}
}

func TestPlotOfInvalidRecords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "records.tsv")
	if err := bench.WriteRecords(file, []bench.Record{bench.NewRecord("time", "start", 0, 1)}); err != nil {
		t.Fatal(err)
	}
	if err := bench.Plot(file, dir); err == nil || !strings.Contains(err.Error(), "must be positive") {
		t.Errorf("got error %v", err)
	}
}

func TestCELPatch(t *testing.T) {
	t.Parallel()
	got, err := bench.CELPatch([]byte(`[{"op":"add","path":"/spec/containers/-","value":` +
		`{"name":"a\"b","ports":[{"containerPort":80}],"tty":true}}]`))
	if err != nil {
		t.Fatal(err)
	}
	want := `[JSONPatch{op: "add", path: "/spec/containers/-", value: {"name": dyn("a\"b"), ` +
		`"ports": dyn([dyn({"containerPort": dyn(80)})]), "tty": dyn(true)}}]`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestWithoutGeneration compares responses of two generations, and of two patches.
func TestWithoutGeneration(t *testing.T) {
	t.Parallel()
	response := func(patch, generation string) string {
		return string(bench.WithoutGeneration([]byte(`{"patch":"` + patch + `","generation":"` + generation + `"}`)))
	}
	if response("a", "1") != response("a", "2") {
		t.Error("the generation is compared")
	}
	if response("a", "1") == response("b", "1") {
		t.Error("the patch is not compared")
	}
}

// TestConstant checks that the response has the uid of the request.
func TestConstant(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "response")
	if err := os.WriteFile(file, []byte(`{"response":{"uid":"old","allowed":true}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	handler, err := bench.NewConstant(file)
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`{"request":{"uid":"new","object":{"uid":"other"}}}`: `{"response":{"uid":"new","allowed":true}}`,
		`{}`: "no uid\n",
	} {
		recorder := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		handler.ServeHTTP(recorder, request)
		if got := recorder.Body.String(); got != want {
			t.Errorf("the response to %s is %s, want %s", body, got, want)
		}
	}
}
