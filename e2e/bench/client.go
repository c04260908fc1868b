package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// clientTimeout bounds a request.
const clientTimeout = 30 * time.Second

// target is a server that is measured.
type target struct {
	name string
	pid  int
	// workers is the number of concurrent calls of send, which sends a request and checks the response.
	workers int
	send    func(ctx context.Context, worker int) error

	// These are set for a server of reviews, after connect.
	url     string
	review  []byte
	want    []byte
	clients []*http.Client
}

// connect creates the clients, each with a connection of its own, and keeps the response to the first review as the
// expected one.
func (t *target) connect(ctx context.Context, ca []byte, clients int) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for range clients {
		t.clients = append(t.clients, &http.Client{Timeout: clientTimeout, Transport: &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		}})
	}
	for _, client := range t.clients {
		response, err := post(ctx, client, t.url, t.review)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		t.want = response
	}
	t.workers, t.send = clients, t.exchange
	return nil
}

// exchange sends the review with a client, and compares the response.
func (t *target) exchange(ctx context.Context, client int) error {
	response, err := post(ctx, t.clients[client], t.url, t.review)
	if err == nil && !bytes.Equal(withoutGeneration(response), withoutGeneration(t.want)) {
		err = fmt.Errorf("the response differs from the first one: %s", response[:min(len(response), 1000)])
	}
	return err
}

// withoutGeneration returns a response up to the generation of the snapshot, which is last and changes with each edit.
func withoutGeneration(response []byte) []byte {
	before, _, _ := bytes.Cut(response, []byte(`"generation":"`))
	return before
}

// close closes the connections.
func (t *target) close() {
	for _, client := range t.clients {
		client.CloseIdleConnections()
	}
}

// post sends a review and returns the response.
func post(ctx context.Context, client *http.Client, url string, review []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(review))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

// load is the result of a round.
type load struct {
	latencies []time.Duration
	cpu       time.Duration // of the server
	elapsed   time.Duration
}

// perReview returns the CPU time of a request, in nanoseconds.
func (l load) perReview() float64 { return float64(l.cpu) / float64(len(l.latencies)) }

// perSecond returns the number of requests per second.
func (l load) perSecond() float64 { return float64(len(l.latencies)) / l.elapsed.Seconds() }

// drive sends requests with all workers for a duration. Each worker sends the next request after a response, but not
// more than one in an interval, which may be 0.
func (t *target) drive(ctx context.Context, duration, interval time.Duration) (load, error) {
	before, err := cpuTime(t.pid)
	if err != nil {
		return load{}, err
	}
	begin := time.Now()
	latencies := make([][]time.Duration, t.workers)
	group, ctx := errgroup.WithContext(ctx)
	for n := range t.workers {
		group.Go(func() (err error) {
			// Workers that wait start at different times.
			start := begin.Add(interval * time.Duration(n) / time.Duration(t.workers))
			latencies[n], err = t.repeat(ctx, n, start, begin.Add(duration), interval)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return load{}, fmt.Errorf("%s: %w", t.name, err)
	}
	after, err := cpuTime(t.pid)
	result := load{cpu: after - before, elapsed: time.Since(begin)}
	for _, each := range latencies {
		result.latencies = append(result.latencies, each...)
	}
	return result, err
}

// repeat sends requests until end, and returns their latencies. A request that is late because of the previous one
// counts from the time at which it was due.
func (t *target) repeat(
	ctx context.Context, worker int, due, end time.Time, interval time.Duration,
) (latencies []time.Duration, err error) {
	for due.Before(end) {
		if err := sleepUntil(ctx, due); err != nil {
			return nil, err
		}
		if err := t.send(ctx, worker); err != nil {
			return nil, err
		}
		latencies = append(latencies, time.Since(due))
		if due = due.Add(interval); interval == 0 {
			due = time.Now()
		}
	}
	return latencies, nil
}

// sleepUntil sleeps until a time, or until ctx ends.
func sleepUntil(ctx context.Context, t time.Time) error {
	rest := time.Until(t)
	if rest <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
