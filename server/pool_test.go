package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestPooledMemory sends different reviews at the same time, and compares the responses with those of one review at a
// time. Buffers are pooled; with the race detector, they are overwritten before another request gets them.
func TestPooledMemory(t *testing.T) {
	t.Parallel()
	var reviews []string
	for i := range 16 {
		app := fmt.Sprintf("app-%d-%s", i, strings.Repeat("x", 40*i))
		reviews = append(reviews,
			podReview(podRequesting("logger:v1", app)),
			podReview(podRequesting("unknown-"+app[:6], app)),
			podReview(podRequesting("none", app)),
			podReview(`{"metadata":{"annotations":{"a":[]},"name":"`+app+`"}}`),
			podReview(`{"metadata":{"annotations":{"injector.tumblr.com/request":"clash:v1","a":"\u003c\n`+app+`"}}}`),
			`not a review of `+app,
		)
	}
	webhook := benchWebhook(t)
	serve := func(body string) string {
		w := httptest.NewRecorder()
		webhook.ServeHTTP(w, newRequest(t, strings.NewReader(body)))
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Errorf("got code %d for %s", w.Code, body)
		}
		return w.Body.String()
	}
	want := make([]string, len(reviews))
	for i, body := range reviews {
		want[i] = serve(body)
	}
	var senders sync.WaitGroup
	for sender := range 8 {
		senders.Go(func() {
			for i := range 3 * len(reviews) {
				n := (i*7 + sender*11) % len(reviews)
				if got := serve(reviews[n]); got != want[n] {
					t.Errorf("the response to %s is\n%s\nwant\n%s", reviews[n], got, want[n])
				}
			}
		})
	}
	senders.Wait()
}
