package kube_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// recorder is a client that records the times of its calls, in a synctest bubble.
type recorder struct {
	list  func() error
	watch func(stream *watch.FakeWatcher) error

	mu             sync.Mutex
	lists, watches []time.Time
}

func (r *recorder) List(context.Context, metav1.ListOptions) (*corev1.ConfigMapList, error) {
	r.mu.Lock()
	r.lists = append(r.lists, time.Now())
	r.mu.Unlock()
	if r.list != nil {
		if err := r.list(); err != nil {
			return nil, err
		}
	}
	return &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}, nil
}

func (r *recorder) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	r.mu.Lock()
	r.watches = append(r.watches, time.Now())
	r.mu.Unlock()
	stream := watch.NewFake()
	return stream, r.watch(stream)
}

// gaps returns the longest delay between calls, and their number.
func gaps(calls []time.Time) (longest time.Duration, count int) {
	for i := 1; i < len(calls); i++ {
		longest = max(longest, calls[i].Sub(calls[i-1]))
	}
	return longest, len(calls)
}

func runFor(t *testing.T, r *recorder, d time.Duration) *observer {
	t.Helper()
	o := observe(r)
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	o.Run(ctx, o.handler)
	return o
}

// A server that fails for a day gets one or two requests a minute and is reported once.
func TestBackoffOfFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{list: func() error { return errors.New("unavailable") }}
		o := runFor(t, r, 24*time.Hour)
		longest, count := gaps(r.lists)
		if longest > time.Minute || count > 24*60*2+20 || count < 24*60-1 {
			t.Errorf("%d lists, up to %s apart", count, longest)
		}
		if first := r.lists[1].Sub(r.lists[0]); first > time.Second {
			t.Errorf("the first delay is %s", first)
		}
		if reported := o.failures(); len(reported) != 1 {
			t.Errorf("reported: %q", reported)
		}
	})
}

// Retry-After is respected up to a limit.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int]time.Duration{20: 20 * time.Second, 86400: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{list: func() error { return apierrors.NewTooManyRequests("slow down", seconds) }}
			runFor(t, r, 2*time.Minute)
			if delay := r.lists[1].Sub(r.lists[0]); delay != want {
				t.Errorf("the delay is %s, want %s", delay, want)
			}
		})
	}
}

// A watch that closes every 100 ms is opened again within a second, without a list. A long watch is opened
// again at once.
func TestBackoffOfShortWatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		duration := 100 * time.Millisecond
		r := &recorder{watch: func(stream *watch.FakeWatcher) error {
			time.AfterFunc(duration, stream.Stop)
			return nil
		}}
		o := runFor(t, r, time.Hour)
		longest, count := gaps(r.watches)
		if longest > duration+time.Second || count > 3600*3 || len(r.lists) != 1 || o.Err() != nil {
			t.Errorf("%d watches, up to %s apart, %d lists, %v", count, longest, len(r.lists), o.Err())
		}
		if first := r.watches[1].Sub(r.watches[0]) - duration; first > 100*time.Millisecond {
			t.Errorf("the first delay is %s", first)
		}
		if lines := o.logged(); lines != 6 {
			t.Errorf("%d log lines in an hour", lines)
		}
		r.watches, duration = nil, 5*time.Minute
		o = runFor(t, r, time.Hour)
		if longest, _ := gaps(r.watches); longest != duration || o.logged() != 0 {
			t.Errorf("watches are up to %s apart, %d lines", longest, o.logged())
		}
	})
}

// A short watch resets the delay after failures.
func TestFailureBetweenShortWatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		r := &recorder{watch: func(stream *watch.FakeWatcher) error {
			if opened++; opened%20 == 0 {
				return apierrors.NewResourceExpired("too old")
			}
			time.AfterFunc(100*time.Millisecond, stream.Stop)
			return nil
		}}
		o := runFor(t, r, time.Hour)
		if longest, _ := gaps(r.watches); longest > 2*time.Second || o.failures() != nil {
			t.Errorf("watches are up to %s apart, reported: %q", longest, o.failures())
		}
	})
}

// A list does not reset the delay between watches that fail.
func TestBackoffOfFailedWatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{watch: func(*watch.FakeWatcher) error { return errors.New("no watch") }}
		o := runFor(t, r, 24*time.Hour)
		if _, count := gaps(r.lists); count > 24*60*2+20 || len(o.failures()) != 1 {
			t.Errorf("%d lists, reported: %q", count, o.failures())
		}
	})
}

// A watch that is open for longer than its timeout is dead.
func TestSilentWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{watch: func(*watch.FakeWatcher) error { return nil }}
		o := runFor(t, r, 24*time.Hour)
		if longest, _ := gaps(r.watches); longest > 12*time.Minute {
			t.Errorf("watches are up to %s apart", longest)
		}
		const want = "cannot watch configmaps in namespace sidecars: no response in time"
		if reported := o.failures(); len(reported) == 0 || reported[0] != want {
			t.Errorf("reported: %q", reported)
		}
	})
}

// Expired watches are part of normal operation.
func TestBackoffOfExpiredWatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{watch: func(stream *watch.FakeWatcher) error {
			expired := apierrors.NewResourceExpired("too old").Status()
			time.AfterFunc(time.Minute, func() { stream.Error(&expired) })
			return nil
		}}
		o := runFor(t, r, time.Hour)
		if longest, _ := gaps(r.watches); longest > time.Minute+time.Second || o.failures() != nil {
			t.Errorf("watches are up to %s apart, reported: %q", longest, o.failures())
		}
	})
}
