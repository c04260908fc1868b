package server_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
)

// stuck is the body of a client that sends much and then nothing more.
type stuck struct {
	io.Reader
	sent    func()
	release <-chan struct{}
}

func (s *stuck) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		s.sent()
		<-s.release
	}
	return n, err
}

// Many clients with large bodies cannot take all memory: the one too many is refused, and once
// they are gone, reviews are answered again.
func TestMemoryOfAllBodiesIsBounded(t *testing.T) {
	t.Parallel()
	const clients, each = 4, 7 << 20
	i := newInjector(t, policy())
	review, err := os.ReadFile("testdata/reviews/v1-deployment-pod.json")
	if err != nil {
		t.Fatal(err)
	}
	post := func(body io.Reader) int {
		r := httptest.NewRequest(http.MethodPost, "/mutate", body)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		return w.Code
	}
	release := make(chan struct{})
	var sent, answered sync.WaitGroup
	sent.Add(clients)
	for range clients {
		body := &stuck{Reader: bytes.NewReader(make([]byte, each)), sent: sync.OnceFunc(sent.Done), release: release}
		answered.Go(func() { post(body) })
	}
	sent.Wait()
	if code := post(bytes.NewReader(review)); code != http.StatusOK {
		t.Errorf("with %d large bodies in flight: got %d, want 200", clients, code)
	}
	if code := post(bytes.NewReader(make([]byte, each))); code != http.StatusServiceUnavailable {
		t.Errorf("with one too many: got %d, want 503", code)
	}
	close(release)
	answered.Wait()
	if code := post(bytes.NewReader(make([]byte, each))); code != http.StatusBadRequest {
		t.Errorf("with none in flight: got %d, want 400", code)
	}
}
