package server_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stalled is the connection of a client that stops in the middle of its body. A deadline in the past ends
// the read.
type stalled struct {
	*httptest.ResponseRecorder
	io.Reader
	sent, cut chan struct{}
	sending   sync.Once
	cutting   sync.Once
}

func newStalled(size int) *stalled {
	return &stalled{
		ResponseRecorder: httptest.NewRecorder(), Reader: bytes.NewReader(make([]byte, size)),
		sent: make(chan struct{}), cut: make(chan struct{}),
	}
}

func (s *stalled) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		s.sending.Do(func() { close(s.sent) })
		<-s.cut
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func (s *stalled) SetReadDeadline(t time.Time) error {
	if t.Before(time.Now()) {
		s.cutting.Do(func() { close(s.cut) })
	}
	return nil
}

func (*stalled) SetWriteDeadline(time.Time) error { return nil }

// serve sends the body until the client stalls. The channel receives the status code.
func (s *stalled) serve(i *injector) <-chan int {
	done := make(chan int, 1)
	r := httptest.NewRequest(http.MethodPost, "/mutate", io.NopCloser(s))
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/json")
	go func() {
		i.ServeHTTP(s, r)
		done <- s.Code
	}()
	<-s.sent
	return done
}

// Reviews of any size are answered while stalled bodies fill the budgets. The bodies that have stalled for
// longest are cut off.
func TestStalledBodiesLose(t *testing.T) {
	t.Parallel()
	i := newInjector(t, policy())
	var clients []*stalled
	var codes []<-chan int
	for _, size := range []int{7<<20 - 1, 7<<20 - 1, 7<<20 - 1, 7<<20 - 1, 4<<20 - 600} {
		client := newStalled(size)
		clients, codes = append(clients, client), append(codes, client.serve(i))
	}
	for range 400 { // 100 MiB in small bodies
		client := newStalled(256 << 10)
		clients, codes = append(clients, client), append(codes, client.serve(i))
	}
	for range 100 {
		if w := review(t, i, string(recorded(t, "v1-deployment-pod"))); w.Code != http.StatusOK {
			t.Fatalf("a usual review: got %d %s", w.Code, w.Body)
		}
	}
	if w := review(t, i, padded(maxBody)); w.Code != http.StatusOK {
		t.Errorf("a large review: got %d %s", w.Code, w.Body)
	}
	cut := 0
	for _, client := range clients {
		select {
		case <-client.cut:
			cut++
		default:
		}
		_ = client.SetReadDeadline(time.Unix(1, 0))
	}
	if held := len(clients) - cut; held > 128+3 {
		t.Errorf("%d stalled bodies are held", held)
	}
	got := make(map[int]int)
	for _, code := range codes {
		got[<-code]++
	}
	overload, late := got[http.StatusServiceUnavailable], got[http.StatusRequestTimeout]
	if overload == 0 || overload+late != len(codes) {
		t.Errorf("stalled bodies: got %v", got)
	}
	for cause, want := range map[string]int{"overload": overload, "deadline": late, "not_a_review": 0} {
		if count := i.refusals(t, cause); count != want {
			t.Errorf("%d refusals with cause %s, want %d", count, cause, want)
		}
	}
	if !strings.Contains(i.log.String(), `"message":"request refused: overload"`) {
		t.Error("overload is not in the log")
	}
	if used := i.lanes.Used(); used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
}

// Refusals of other causes do not suppress the log lines about overload.
func TestGarbageDoesNotHideOverload(t *testing.T) {
	t.Parallel()
	i := newInjector(t, policy())
	for range 100 {
		review(t, i, "garbage")
	}
	var clients []*stalled
	var codes []<-chan int
	for range 200 { // more than the budget
		client := newStalled(256 << 10)
		clients, codes = append(clients, client), append(codes, client.serve(i))
	}
	if !strings.Contains(i.log.String(), `"cause":"overload"`) {
		t.Error("overload is not in the log")
	}
	for n, client := range clients {
		_ = client.SetReadDeadline(time.Unix(1, 0))
		<-codes[n]
	}
}

// unread is the connection of a client that does not read its response.
type unread struct {
	*httptest.ResponseRecorder
	written, cut chan struct{}
	cutting      sync.Once
	late         atomic.Bool // whether a deadline came after the handler has returned
	returned     atomic.Bool
}

func (u *unread) Write([]byte) (int, error) {
	u.written <- struct{}{}
	<-u.cut
	return 0, os.ErrDeadlineExceeded
}

func (*unread) SetReadDeadline(time.Time) error { return nil }

func (u *unread) SetWriteDeadline(t time.Time) error {
	if u.returned.Load() {
		u.late.Store(true)
	}
	if t.Before(time.Now()) {
		u.cutting.Do(func() { close(u.cut) })
	}
	return nil
}

// Responses that are not read are charged and cut off like bodies.
func TestUnreadResponsesLose(t *testing.T) {
	t.Parallel()
	const clients = 4000 // more than the budget has for requests alone
	i := newInjector(t, policy())
	written := make(chan struct{})
	all := make([]*unread, clients)
	var group sync.WaitGroup
	for n := range all {
		u := &unread{ResponseRecorder: httptest.NewRecorder(), written: written, cut: make(chan struct{})}
		all[n] = u
		group.Go(func() {
			i.ServeHTTP(u, newRequest(t, strings.NewReader(podReview("{}"))))
			u.returned.Store(true)
		})
		<-written
	}
	if w := review(t, i, podReview("{}")); w.Code != http.StatusOK {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	held := 0
	for _, u := range all {
		select {
		case <-u.cut:
		default:
			held++
			_ = u.SetWriteDeadline(time.Unix(1, 0))
		}
	}
	group.Wait()
	if held > 32<<20/(12<<10) {
		t.Errorf("%d unread responses are held", held)
	}
	for _, u := range all {
		if u.late.Load() {
			t.Fatal("a deadline was set after its handler had returned")
		}
	}
	if used := i.lanes.Used(); used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
}
