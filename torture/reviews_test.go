//go:build torture

package torture_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// empties returns a JSON list of count empty objects.
func empties(count int) string {
	return "[" + strings.TrimSuffix(strings.Repeat("{},", count), ",") + "]"
}

// grown returns a review of 30 KB with more containers than a pod may have.
func grown() string {
	return podReview(refLogger, "", `"containers":`+empties(9990))
}

// TestAmplification sends small reviews that use much more memory when decoded, and still more for their
// patches, from one host and from many.
func TestAmplification(t *testing.T) {
	for _, hosts := range []int64{1, 100} {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			i := start(t, options{})
			i.hostileHosts = hosts
			bodies := []string{grown(), amplified()}
			i.underFor(t, sized(6*time.Second, 2*time.Second), func(ctx context.Context) int {
				var next atomic.Int64
				clients := make([]*http.Client, min(hosts, 60))
				for n := range clients {
					clients[n] = i.hostile(t, true)
				}
				return repeat(ctx, 60, func(ctx context.Context) {
					n := int(next.Add(1))
					_, _, _ = i.post(ctx, clients[n%len(clients)], "/mutate?timeout=30s", bodies[n%len(bodies)])
				})
			})
		})
	}
}

// TestEmptyObjects sends lists of empty objects in many fields, in reviews up to the size limit.
func TestEmptyObjects(t *testing.T) {
	i := start(t, options{})
	client := i.hostile(t, true)
	const one = `"containers":[{"name":"a","image":"a",%q:%s}]`
	var bodies []string
	for _, size := range []int{200 << 10, 3 << 20, 7<<20 - 1000} {
		list := empties(size / len("{},"))
		for _, field := range []string{
			"containers",
			"initContainers",
			"ephemeralContainers",
			"volumes",
			"imagePullSecrets",
			"hostAliases",
			"tolerations",
			"topologySpreadConstraints",
		} {
			bodies = append(bodies, podReview(refLogger, "", fmt.Sprintf("%q:%s", field, list)))
		}
		for _, field := range []string{"env", "envFrom", "ports", "volumeMounts"} {
			bodies = append(bodies, podReview(refLogger, "", fmt.Sprintf(one, field, list)))
		}
		bodies = append(bodies,
			podReview(refLogger, "", `"containers":[`+strings.TrimSuffix(strings.Repeat(`{"env":[{}]},`, size/13), ",")+`]`),
			podReview(refLogger, `,"x":`+empties(size/3), honestPod),
			podReview(strings.Repeat(refLogger+",", size/10), "", honestPod))
	}
	i.underFor(t, sized(12*time.Second, 4*time.Second), func(ctx context.Context) int {
		var next atomic.Int64
		return repeat(ctx, 30, func(ctx context.Context) {
			_, _, _ = i.post(ctx, client, "/mutate?timeout=30s", bodies[int(next.Add(1))%len(bodies)])
		})
	})
}

// TestEmptyMetadata sends lists of empty objects in ConfigMap metadata that definitions do not use.
func TestEmptyMetadata(t *testing.T) {
	for _, c := range []struct {
		name             string
		size, concurrent int
	}{{"largest alone", 7<<20 - 2000, 1}, {"largest", 7<<20 - 2000, 4}, {"small lane", 256<<10 - 2000, 60}} {
		t.Run(c.name, func(t *testing.T) {
			i := start(t, options{flags: newAPIServer(t).flags(t)})
			client, review := i.hostile(t, true), configMapReview(t, "hostile", definition("hostile:v1", "hostile:1"))
			var bodies []string
			for _, field := range []string{"managedFields", "ownerReferences", "unknown"} {
				metadata := fmt.Sprintf(`"metadata":{%q:%s,`, field, empties(c.size/3))
				bodies = append(bodies, strings.Replace(review, `"metadata":{`, metadata, 1))
			}
			finalizers := strings.TrimSuffix(strings.Repeat(`"",`, c.size/3), ",")
			bodies = append(bodies, strings.Replace(review, `"metadata":{`, `"metadata":{"finalizers":[`+finalizers+"],", 1))
			i.underFor(t, sized(6*time.Second, 3*time.Second), func(ctx context.Context) int {
				var next atomic.Int64
				return repeat(ctx, c.concurrent, func(ctx context.Context) {
					_, _, _ = i.post(ctx, client, "/validate?timeout=30s", bodies[int(next.Add(1))%len(bodies)])
				})
			})
		})
	}
}

// busy fills a port with connections that send a request every few seconds. Meanwhile it probes the lifecycle
// port from an address without other connections.
func (i *injector) busy(ctx context.Context, t *testing.T, open func(ctx context.Context) (*connection, error)) int {
	t.Helper()
	const count = 1024
	var sent atomic.Int64
	full := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		parallel(count, func(int) {
			for ctx.Err() == nil {
				c, err := open(ctx)
				if err != nil {
					continue
				}
				for c.send(ctx, "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n") == nil {
					if sent.Add(1) == count {
						close(full)
					}
					select {
					case <-ctx.Done():
					case <-time.After(2 * time.Second):
					}
					if c.send(ctx, "x") != nil || ctx.Err() != nil {
						break
					}
				}
				_ = c.Close()
			}
		})
	}()
	select {
	case <-full:
	case <-ctx.Done():
		t.Error("the port was never full")
	}
	failed, probes := 0, 0
	for ctx.Err() == nil {
		probes++
		if !i.ready() {
			failed++
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	if failed > 0 {
		t.Errorf("%d of %d probes failed", failed, probes)
	}
	<-finished
	return int(sent.Load())
}

// TestBusyConnections checks that probes succeed while busy connections fill a port.
func TestBusyConnections(t *testing.T) {
	for name, open := range map[string]func(i *injector) func(ctx context.Context) (*connection, error){
		"webhook": func(i *injector) func(ctx context.Context) (*connection, error) {
			return func(ctx context.Context) (*connection, error) { return i.dial(ctx, "http/1.1") }
		},
		"lifecycle": func(i *injector) func(ctx context.Context) (*connection, error) {
			return func(ctx context.Context) (*connection, error) { return i.dialPlain(ctx, i.lifecycle) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := start(t, options{})
			i.hostileHosts = 9
			i.underFor(t, sized(15*time.Second, 10*time.Second), func(ctx context.Context) int {
				return i.busy(ctx, t, open(i))
			})
		})
	}
}

// amplified returns a review of 1 KB with a response of 430 KB.
func amplified() string {
	return podReview(refLogger, "", `"containers":`+empties(249))
}

// large returns a review just below the size limit that uses much more memory when decoded.
func large() string {
	env := strings.TrimSuffix(strings.Repeat(`{"name":"ab"},`, 480_000), ",")
	return podReview(refLogger, "", `"containers":[{"name":"a","image":"a","env":[`+env+`]}]`)
}

// longHeader is a header field just below the limit of the header size.
var longHeader = []string{"x-long", strings.Repeat("~", 7000)}

// unread opens streams with a window of zero, so that their responses are never read. It replaces the
// connections every 3 seconds, and returns the number of streams.
func (i *injector) unread(ctx context.Context, connections, streams int, body string, more ...string) int {
	var sent atomic.Int64
	repeat(ctx, connections, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		c := i.frames(ctx, windowZero)
		defer c.close()
		for n := 0; n < streams && ctx.Err() == nil; n++ {
			_ = c.request("/mutate?timeout=30s", body, len(body), more...) // the server may refuse a stream
			sent.Add(1)
		}
		<-ctx.Done()
	})
	return int(sent.Load())
}

// TestUnreadStreams opens HTTP/2 streams and never reads their responses.
func TestUnreadStreams(t *testing.T) {
	for _, c := range []struct {
		name                 string
		connections, streams int
		body                 string
		header               []string
	}{
		{"many streams", 3, 200, amplified(), nil},
		{"many connections", 127, 16, amplified(), longHeader},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := start(t, options{})
			i.underFor(t, sized(10*time.Second, 4*time.Second), func(ctx context.Context) int {
				return i.unread(ctx, c.connections, c.streams, c.body, c.header...)
			})
		})
	}
}

// TestLargeReviews sends many reviews of almost the maximum size at the same time.
func TestLargeReviews(t *testing.T) {
	i := start(t, options{})
	client, body := i.hostile(t, false), large()
	i.underFor(t, sized(10*time.Second, 4*time.Second), func(ctx context.Context) int {
		return repeat(ctx, 40, func(ctx context.Context) {
			_, _, _ = i.post(ctx, client, "/mutate?timeout=10s", body)
		})
	})
}

// TestMixture exhausts both memory budgets and the connections from one host at the same time.
func TestMixture(t *testing.T) {
	i := start(t, options{})
	client, small, body := i.hostile(t, false), amplified(), large()
	i.underFor(t, sized(12*time.Second, 6*time.Second), func(ctx context.Context) int {
		streams := make(chan int)
		go func() { streams <- i.unread(ctx, 90, 200, small, longHeader...) }()
		return repeat(ctx, 30, func(ctx context.Context) {
			_, _, _ = i.post(ctx, client, "/mutate?timeout=10s", body)
		}) + <-streams
	})
}

// TestUnreadConnections sends HTTP/1.1 requests and never reads the responses, so that the socket buffers
// fill up.
func TestUnreadConnections(t *testing.T) {
	i := start(t, options{})
	request := http1("/mutate?timeout=30s", amplified())
	i.underFor(t, sized(10*time.Second, 4*time.Second), func(ctx context.Context) int {
		var sent atomic.Int64
		parallel(200, func(int) {
			c, err := i.dial(ctx, "http/1.1")
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			for ctx.Err() == nil && c.send(ctx, request) == nil {
				sent.Add(1)
			}
			<-ctx.Done()
		})
		return int(sent.Load())
	})
}

// TestStalledBodies sends bodies without their last byte. The timeout parameter must not extend the read
// timeout.
func TestStalledBodies(t *testing.T) {
	t.Parallel()
	stalls := func(count, size int) []int {
		sizes := make([]int, count)
		for n := range sizes {
			sizes[n] = size
		}
		return sizes
	}
	for _, c := range []struct {
		name  string
		hosts int64
		sizes []int
		short bool // also runs with -short
	}{
		{"whole budget", 1, append(stalls(4, 7<<20-1), 4<<20-600), true},
		{"normal size", 1, stalls(sized(1000, 300), 256<<10-1), true},
		{"above normal", 1, stalls(100, 257<<10), false},
		{"single byte", 1, stalls(1000, 1), false},
		{"largest", 1, stalls(40, 7<<20-1), true},
		{"100 hosts", 100, stalls(sized(1000, 300), 256<<10-1), true},
	} {
		for _, proto := range []string{"h2", "http/1.1"} {
			t.Run(c.name+" "+strings.ReplaceAll(proto, "/", " "), func(t *testing.T) {
				if testing.Short() && (proto != "h2" || !c.short) {
					t.Skip("skipped with -short")
				}
				t.Parallel()
				i := start(t, options{})
				i.hostileHosts = c.hosts
				testStalledBodies(t, i, proto, c.sizes)
			})
		}
	}
}

// testStalledBodies checks that the server ends each stalled request within the read timeout in
// docs/security.md.
func testStalledBodies(t *testing.T, i *injector, proto string, sizes []int) {
	t.Helper()
	const promised, margin = 10 * time.Second, 4 * time.Second
	filler := strings.Repeat(" ", 7<<20)
	i.under(t, func(ctx context.Context) int {
		var late atomic.Int64
		parallel(len(sizes), func(n int) {
			if !i.stall(ctx, proto, filler[:sizes[n]], promised+margin) {
				late.Add(1)
			}
		})
		if late := late.Load(); late > 0 && ctx.Err() == nil {
			t.Errorf("%d of %d stalled bodies were not cut off after %s", late, len(sizes), promised+margin)
		}
		return len(sizes)
	})
}

// stall sends a body without its last byte, and reports whether the server ends the request in time.
func (i *injector) stall(ctx context.Context, proto, body string, within time.Duration) bool {
	if proto == "h2" {
		c := i.frames(ctx)
		defer c.close()
		if c.request("/mutate?timeout=30s", body, len(body)+1) != nil {
			return true
		}
		select {
		case <-c.ended:
			return true
		case <-ctx.Done():
			return true
		case <-time.After(within):
			return false
		}
	}
	c, err := i.dial(ctx, proto)
	if err != nil {
		return true
	}
	defer func() { _ = c.Close() }()
	_ = c.SetWriteDeadline(time.Now().Add(within))
	head := fmt.Sprintf("POST /mutate?timeout=30s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n", len(body)+1)
	if err := c.send(ctx, head+body); err != nil {
		return !timedOut(err) || ctx.Err() != nil
	}
	return c.awaitEnd(ctx, within)
}

// TestTrickle checks that bodies that arrive a few bytes per second are cut off after the read timeout,
// whatever their headers and timeout parameter.
func TestTrickle(t *testing.T) {
	t.Parallel()
	i := start(t, options{})
	const promised, margin = 10 * time.Second, 4 * time.Second
	heads := []string{
		"Transfer-Encoding: chunked\r\n",
		"Content-Length: 100000\r\n",
		"Content-Length: 100000\r\nExpect: 100-continue\r\n",
		"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
	}
	timeouts := []string{"", "?timeout=30s", "?timeout=1000000h", "?timeout=-1s", "?timeout=9223372036854775807ns"}
	i.under(t, func(ctx context.Context) int {
		const count = 200
		var late atomic.Int64
		parallel(count, func(n int) {
			head := fmt.Sprintf("POST /mutate%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n",
				timeouts[n%len(timeouts)], heads[n%len(heads)])
			if !i.trickle(ctx, head, "1\r\n \r\n", promised+margin) {
				late.Add(1)
			}
		})
		if late := late.Load(); late > 0 && ctx.Err() == nil {
			t.Errorf("%d of %d slow bodies were not cut off after %s", late, count, promised+margin)
		}
		return count
	})
}

// TestSlowHeaders checks that headers that never end are cut off.
func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	i := start(t, options{})
	i.under(t, func(ctx context.Context) int {
		const count = 500
		var late atomic.Int64
		parallel(count, func(n int) {
			head := []string{"", "P", "POST /mutate HTTP/1.1\r\nHost: x\r\nX-Slow: "}[n%3]
			if !i.trickle(ctx, head, "x", 10*time.Second) {
				late.Add(1)
			}
		})
		if late := late.Load(); late > 0 && ctx.Err() == nil {
			t.Errorf("%d of %d slow headers were not cut off", late, count)
		}
		return count
	})
}

// trickle sends a head at once and then one piece per second, and reports whether the server ends the
// connection in time.
func (i *injector) trickle(ctx context.Context, head, piece string, within time.Duration) bool {
	c, err := i.dial(ctx, "http/1.1")
	if err != nil {
		return true
	}
	defer func() { _ = c.Close() }()
	if c.send(ctx, head) != nil {
		return true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for c.send(ctx, piece) == nil {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return c.awaitEnd(ctx, within)
}

// TestLyingLengths sends malformed requests, such as requests with wrong or conflicting lengths.
func TestLyingLengths(t *testing.T) {
	i := start(t, options{})
	const head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	requests := []string{
		head + "Content-Length: 5\r\n\r\n" + grown(),
		head + "Content-Length: -1\r\n\r\n{}",
		head + "Content-Length: 99999999999999999999\r\n\r\n{}",
		head + "Content-Length: 7340033\r\n\r\n{}",
		head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		head + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
		head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n{}",
		head + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 1<<20) + "\r\n{}\r\n0\r\n\r\n",
		head + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X: y\r\n", 1<<17) + "\r\n",
		head + "Transfer-Encoding: gzip\r\n\r\n{}",
		head + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
		head + strings.Repeat("X-Header: "+strings.Repeat("y", 1000)+"\r\n", 1000) + "\r\n",
		"\x00\x01\x02", strings.Repeat("A", 1<<20), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\r\n\r\n\r\n",
	}
	i.underFor(t, sized(4*time.Second, 2*time.Second), func(ctx context.Context) int {
		var next atomic.Int64
		return repeat(ctx, 20, func(ctx context.Context) {
			c, err := i.dial(ctx, "http/1.1")
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			if c.send(ctx, requests[int(next.Add(1))%len(requests)]) == nil {
				_ = c.CloseWrite()
				c.awaitEnd(ctx, time.Second)
			}
		})
	})
}

// TestPayloads checks that every malformed payload is answered in time and none causes a 500.
func TestPayloads(t *testing.T) {
	i := start(t, options{})
	client := i.hostile(t, true)
	deep := func(open, end string) string { return strings.Repeat(open, 200_000) + strings.Repeat(end, 200_000) }
	review := func(object string) string {
		return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u",` +
			`"resource":{"version":"v1","resource":"pods"},"operation":"CREATE","object":` + object + `}}`
	}
	payloads := []string{
		"", " ", "null", "true", "0", `""`, "[]", "{}", "{", "\xff\xfe", "\xef\xbb\xbf{}", "\x00",
		`{"kind":"AdmissionReview"}`,
		deep("[", "]"), deep(`{"a":`, "}"), `{"kind":"AdmissionReview","kind":"AdmissionReview"}`,
		review("null"), review("{}"), review("[]"), review(`""`), review("1e999"),
		review(`{"spec":null}`), review(`{"spec":{"containers":{}}}`),
		review(`{"metadata":{"annotations":{"injector.tumblr.com/request":null}}}`),
		review(`{"metadata":{"annotations":[]}}`),
		review(`{"spec":{"containers":[null]}}`), review(deep("[", "]")), review(deep(`{"a":`, "}")), review(`{"a":1,"a":2}`),
		review(`{"metadata":{"annotations":{"\ud800":"x"}}}`), review(`"` + strings.Repeat(`\u0000`, 1<<20) + `"`),
		review(`{"n":` + strings.Repeat("9", 1<<20) + `}`), review(`{"n":1e` + strings.Repeat("9", 1<<20) + `}`),
		strings.Repeat("{}", 1<<20), strings.Repeat(" ", 7<<20), strings.Repeat(" ", 7<<20+1), strings.Repeat("x", 8<<20),
		podReview(strings.Repeat("a,", 100_000), "", honestPod), podReview(strings.Repeat("x", 1<<20), "", honestPod),
	}
	i.under(t, func(ctx context.Context) int {
		for round := range sized(4, 1) {
			parallel(len(payloads), func(n int) {
				code, _, err := i.post(ctx, client, "/mutate?timeout=10s", payloads[n])
				if code == http.StatusInternalServerError || timedOut(err) {
					t.Errorf("round %d, payload %d %.40q: status %d, %v", round, n, payloads[n], code, err)
				}
			})
		}
		return sized(4, 1) * len(payloads)
	})
	if panics := i.logged("panic"); panics > 0 {
		t.Errorf("%d panics in the log", panics)
	}
}

// TestFrameFloods floods the server with HTTP/2 frames that are cheap for the client.
func TestFrameFloods(t *testing.T) {
	for name, flood := range map[string]func(c *frames) error{
		"rapid reset":  (*frames).rapidReset,
		"continuation": (*frames).continuation,
		"ping":         (*frames).ping,
		"settings":     (*frames).settings,
		"empty data":   (*frames).emptyData,
		"window":       (*frames).windowUpdates,
		"headers":      (*frames).hugeHeaders,
	} {
		t.Run(name, func(t *testing.T) {
			i := start(t, options{})
			i.underFor(t, sized(4*time.Second, 2*time.Second), func(ctx context.Context) int {
				// When the server closes a connection, the flood continues on a new one.
				var sent atomic.Int64
				repeat(ctx, 4, func(ctx context.Context) {
					c := i.frames(ctx)
					defer c.close()
					sent.Add(1)
					for ctx.Err() == nil && flood(c) == nil {
						sent.Add(1)
					}
				})
				return int(sent.Load())
			})
		})
	}
}

// TestIdleConnections opens connections that stay idle, before or after the TLS handshake.
func TestIdleConnections(t *testing.T) {
	for _, c := range []struct {
		name  string
		hosts int64
		open  func(ctx context.Context, i *injector) (end func())
	}{
		{"h2", 1, func(ctx context.Context, i *injector) func() { return i.frames(ctx).close }},
		{"http", 1, func(ctx context.Context, i *injector) func() { return i.idle(ctx, "http/1.1") }},
		{"tcp", 1, func(ctx context.Context, i *injector) func() { return i.idle(ctx, "") }},
		{"100 hosts", 100, func(ctx context.Context, i *injector) func() { return i.frames(ctx).close }},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := start(t, options{})
			i.hostileHosts = c.hosts
			count := sized(9440, 2000)
			i.underFor(t, patience, func(ctx context.Context) int {
				opened := make(chan func(), count)
				var next atomic.Int64
				parallel(16, func(int) {
					for ctx.Err() == nil && next.Add(1) <= int64(count) {
						opened <- c.open(ctx, i)
					}
				})
				select {
				case <-time.After(sized(5*time.Second, time.Second)):
				case <-ctx.Done():
				}
				close(opened)
				for end := range opened {
					end()
				}
				return count
			})
		})
	}
}

// TestSlowScrapes requests /metrics many times per connection and never reads the responses.
func TestSlowScrapes(t *testing.T) {
	i := start(t, options{})
	i.underFor(t, sized(6*time.Second, 2*time.Second), func(ctx context.Context) int {
		const count = 300
		parallel(count, func(int) {
			c, err := i.dialPlain(ctx, i.lifecycle)
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			for n := 0; n < 2000 && ctx.Err() == nil; n++ {
				if c.send(ctx, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") != nil {
					break
				}
			}
			<-ctx.Done()
		})
		return count
	})
}

// TestManyParameters checks that a review with the maximum number of parameters stays cheap.
func TestManyParameters(t *testing.T) {
	const sidecars, each = 90, 100 // each is the maximum number of parameters per definition
	var names, parameters []string
	var content, annotations strings.Builder
	for n := range each {
		parameters = append(parameters, fmt.Sprintf("p%d: {default: x}", n))
	}
	for n := range sidecars {
		name := fmt.Sprintf("s%d:v1", n)
		names = append(names, name)
		fmt.Fprintf(&content, "---\nname: %s\nparameters: {%s}\n", name, strings.Join(parameters, ", "))
		for k := range each {
			fmt.Fprintf(&annotations, `,"injector.tumblr.com/param.s%d.p%d":"v"`, n, k)
		}
	}
	i := start(t, options{files: map[string]string{
		"logger.yaml": definition(refLogger, "logger:1"), "p.yaml": content.String(),
	}})
	client := i.hostile(t, true)
	body := podReview(strings.Join(names, ","), annotations.String(), honestPod)
	i.under(t, func(ctx context.Context) int {
		const count = 20
		begin := i.cpu()
		for range count {
			code, response, err := i.post(ctx, client, "/mutate?timeout=10s", body)
			if err != nil || !strings.Contains(string(response), `"outcome":"injected"`) {
				t.Errorf("status %d, %v: %.200s", code, err, response)
			}
		}
		if cost := (i.cpu() - begin) / count; cost > 100*time.Millisecond {
			t.Errorf("a review with %d parameters used %s of CPU time", sidecars*each, cost)
		}
		return count
	})
}

// TestRefusedFlood checks that a flood of refused requests causes few log lines.
func TestRefusedFlood(t *testing.T) {
	i := start(t, options{})
	client := i.hostile(t, true)
	i.underFor(t, sized(5*time.Second, 2*time.Second), func(ctx context.Context) int {
		return repeat(ctx, 16, func(ctx context.Context) {
			_, _, _ = i.post(ctx, client, "/mutate", "no review")
		})
	})
	if lines := i.logged("request refused"); lines > 1000 {
		t.Errorf("%d refused requests caused %d log lines", i.requests, lines)
	}
	info, err := os.Stat(i.log)
	must(t, err)
	if info.Size() > 4<<20 {
		t.Errorf("the log is %d KiB long", info.Size()>>10)
	}
}
