//go:build torture

package torture_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	header = "scenario                                          hostile    honest reviews   " +
		"p50 before -> during     peak   result"
	row = "%-48s %8d  %7d of %-6d %9.2f -> %-8.2f ms %6d M   %-5s%s\n"

	// honestTimeout is the default timeoutSeconds of a webhook configuration.
	honestTimeout = 10 * time.Second
	// honestClients is the number of concurrent honest reviews.
	honestClients = 4
	// honestPause is the interval between the reviews of one honest client.
	honestPause = 10 * time.Millisecond
)

// honestAddress is the source address of honest clients. All of 127.0.0.0/8 is this machine, but the
// injector treats each address as a separate host.
var honestAddress = net.IPv4(127, 0, 0, 1)

// hostileAddress returns the source addresses of the hostile hosts in rotation.
func (i *injector) hostileAddress() net.IP {
	n := i.hosts.Add(1) % max(i.hostileHosts, 1)
	return net.IPv4(127, 0, 1+byte(n/250), 1+byte(n%250))
}

// transport returns a new transport that connects from an address.
func (i *injector) transport(from net.IP, http2 bool) *http.Transport {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	return &http.Transport{
		DialContext: dialer.DialContext, ForceAttemptHTTP2: http2, MaxIdleConnsPerHost: 1000,
		TLSClientConfig: &tls.Config{RootCAs: i.roots, MinVersion: tls.VersionTLS12},
	}
}

// hostile returns a client that connects from a hostile address and shares no connections.
func (i *injector) hostile(t *testing.T, http2 bool) *http.Client {
	t.Helper()
	transport := i.transport(i.hostileAddress(), http2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// honest returns a client that connects from honestAddress and shares no connections.
func (i *injector) honest(t *testing.T) *http.Client {
	t.Helper()
	transport := i.transport(honestAddress, true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: honestTimeout}
}

// post sends a body to a path and returns the status code and the whole response.
func (i *injector) post(
	ctx context.Context, client *http.Client, path, body string,
) (code int, response []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+i.webhook+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	response, err = io.ReadAll(answer.Body)
	return answer.StatusCode, response, err
}

// podReview returns the review of a pod that requests a ref, with additional annotations and a spec.
func podReview(ref, annotations, spec string) string {
	return fmt.Sprintf(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u%d",`+
		`"resource":{"group":"","version":"v1","resource":"pods"},"namespace":"shop","operation":"CREATE",`+
		`"object":{"metadata":{"name":"p","annotations":{"injector.tumblr.com/request":%q%s}},"spec":{%s}}}}`,
		rand.Uint64(), ref, annotations, spec)
}

// honestPod is the spec of an ordinary pod.
const honestPod = `"containers":[{"name":"app","image":"shop:1","env":[{"name":"A","value":"b"}]},` +
	`{"name":"proxy","image":"proxy:1"}]`

// images sends the review of an honest pod and returns the images of the containers that the response
// adds. It returns an error if the pod is not allowed or the patch is incomplete.
func (i *injector) images(ctx context.Context, client *http.Client, refs string) ([]string, error) {
	code, response, err := i.post(ctx, client, "/mutate?timeout=10s", podReview(refs, "", honestPod))
	if err != nil {
		return nil, err
	}
	var review struct {
		Response struct {
			Allowed bool
			Patch   []byte
		}
	}
	if err := json.Unmarshal(response, &review); err != nil || code != http.StatusOK || !review.Response.Allowed {
		return nil, fmt.Errorf("status %d: %.200s", code, response)
	}
	patch := review.Response.Patch
	images := imagePattern.FindAllString(string(patch), -1)
	// A complete patch adds the variable to both containers of the pod and to each added container.
	if len(images) == 0 || bytes.Count(patch, []byte(`"SIDECAR"`)) != 2+len(images) {
		return nil, fmt.Errorf("incomplete patch %.300s", patch)
	}
	for n, image := range images {
		images[n] = strings.Trim(strings.TrimPrefix(image, `"image":`), `"`)
	}
	return images, nil
}

var imagePattern = regexp.MustCompile(`"image":"[^"]*"`)

// image returns the image of the container that a single ref adds.
func (i *injector) image(ctx context.Context, client *http.Client, ref string) (string, error) {
	images, err := i.images(ctx, client, ref)
	if err != nil {
		return "", err
	}
	return images[0], nil
}

// expect waits until the injector adds an image to pods that request a ref.
func (i *injector) expect(t *testing.T, within time.Duration, ref, image string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	client := i.honest(t)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	var last string
	for ctx.Err() == nil && !i.ended() {
		got, err := i.image(ctx, client, ref)
		if got == image {
			return
		}
		if ctx.Err() == nil {
			last = fmt.Sprint(got, err)
		}
		<-ticker.C
	}
	t.Errorf("ref %s: want image %s within %s, got %s", ref, image, within, last)
}

// honest sends reviews as the API server does, over HTTP/2 connections that it replaces after every 100
// reviews.
type honest struct {
	injector *injector

	mutex     sync.Mutex
	latencies []time.Duration
	failures  []string
}

// serve sends reviews until ctx ends, and at least a minimum per client. After ctx ends, a failure stops it.
func (h *honest) serve(ctx context.Context, atLeast int) {
	parallel(honestClients, func(int) {
		ticker := time.NewTicker(honestPause)
		defer ticker.Stop()
		var transport *http.Transport
		for n := 0; n < atLeast || ctx.Err() == nil; n++ {
			if n%100 == 0 {
				if transport != nil {
					transport.CloseIdleConnections()
				}
				transport = h.injector.transport(honestAddress, true)
			}
			answered := h.review(context.WithoutCancel(ctx), &http.Client{Transport: transport, Timeout: honestTimeout})
			if h.injector.ended() || (!answered && ctx.Err() != nil) {
				break
			}
			<-ticker.C
		}
		transport.CloseIdleConnections()
	})
}

func (h *honest) review(ctx context.Context, client *http.Client) (answered bool) {
	begin := time.Now()
	_, err := h.injector.image(ctx, client, refLogger)
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if err != nil {
		h.failures = append(h.failures, err.Error())
		return false
	}
	h.latencies = append(h.latencies, time.Since(begin))
	return true
}

// under runs a hostile function while honest clients send reviews. It asserts that every honest review is
// answered correctly and that the process still runs and is ready. The context of the function ends when
// the process does.
func (i *injector) under(t *testing.T, hostile func(ctx context.Context) (requests int)) {
	t.Helper()
	i.underFor(t, time.Hour, hostile)
}

// underFor is like under, but the context of the function ends after a duration.
func (i *injector) underFor(t *testing.T, duration time.Duration, hostile func(ctx context.Context) (requests int)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	go func() {
		select {
		case <-i.done:
			cancel()
		case <-ctx.Done():
		}
	}()

	over, none := context.WithCancel(ctx)
	none()
	before := &honest{injector: i}
	before.serve(over, 25)

	during, stop := context.WithCancel(t.Context())
	h := &honest{injector: i}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		h.serve(during, 10)
	}()
	requests := hostile(ctx)
	stop()
	<-finished
	i.verdict(t, requests, before, h)
}

// verdict asserts the outcome of a scenario and records its figures.
func (i *injector) verdict(t *testing.T, requests int, before, during *honest) {
	t.Helper()
	asked := len(during.latencies) + len(during.failures)
	if i.ended() {
		t.Errorf("the process ended: %s", i.cmd.ProcessState)
	} else if !i.ready() {
		t.Error("/readyz fails")
	}
	if failed := len(during.failures); failed > 0 {
		t.Errorf("%d of %d honest reviews failed; the first error: %s", failed, asked, during.failures[0])
	}
	i.requests, i.answered, i.asked = requests, len(during.latencies), asked
	i.before, i.during = median(before.latencies), median(during.latencies)
}

// print prints the figures of a scenario on one line.
func (i *injector) print(t *testing.T) {
	t.Helper()
	result := "ok"
	if t.Failed() {
		result = "FAIL"
	}
	const milli = float64(time.Millisecond)
	fmt.Printf(row, strings.TrimPrefix(t.Name(), "Test"), i.requests, i.answered, i.asked,
		float64(i.before)/milli, float64(i.during)/milli, i.peak.Load()>>20, result, i.note)
}
