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

// clock is an API server in a bubble of time. It records the times of its calls.
type clock struct {
	list  func() error
	watch func(stream *watch.FakeWatcher) error

	mu             sync.Mutex
	lists, watches []time.Time
}

func (c *clock) List(context.Context, metav1.ListOptions) (*corev1.ConfigMapList, error) {
	c.mu.Lock()
	c.lists = append(c.lists, time.Now())
	c.mu.Unlock()
	if c.list != nil {
		if err := c.list(); err != nil {
			return nil, err
		}
	}
	return &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}, nil
}

func (c *clock) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	c.mu.Lock()
	c.watches = append(c.watches, time.Now())
	c.mu.Unlock()
	stream := watch.NewFake()
	return stream, c.watch(stream)
}

// gaps returns the longest delay between calls after the first ones, and the number of calls.
func gaps(calls []time.Time, first int) (longest time.Duration, count int) {
	for i := max(first, 1); i < len(calls); i++ {
		longest = max(longest, calls[i].Sub(calls[i-1]))
	}
	return longest, len(calls)
}

func runFor(t *testing.T, c *clock, d time.Duration) *observer {
	t.Helper()
	o := observe(c)
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	o.Run(ctx, o.handler)
	return o
}

// A server that fails for a day is asked twice a minute, and reported once.
func TestBackoffOfFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{list: func() error { return errors.New("away") }}
		o := runFor(t, c, 24*time.Hour)
		longest, count := gaps(c.lists, 0)
		if longest > time.Minute || count > 24*60*2+20 || count < 24*60-1 {
			t.Errorf("%d lists, up to %s apart", count, longest)
		}
		if first := c.lists[1].Sub(c.lists[0]); first > time.Second {
			t.Errorf("the first delay is %s", first)
		}
		if reported := o.failures(); len(reported) != 1 {
			t.Errorf("reported: %q", reported)
		}
	})
}

// The delay that the API server asks for is kept, within a bound.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int]time.Duration{20: 20 * time.Second, 86400: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			c := &clock{list: func() error { return apierrors.NewTooManyRequests("slow down", seconds) }}
			runFor(t, c, 2*time.Minute)
			if delay := c.lists[1].Sub(c.lists[0]); delay != want {
				t.Errorf("the delay is %s, want %s", delay, want)
			}
		})
	}
}

// A watch that closes every 100 ms is opened again within a second, without lists; after one that
// lived it is opened at once.
func TestBackoffOfShortWatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		life := 100 * time.Millisecond
		c := &clock{watch: func(stream *watch.FakeWatcher) error {
			time.AfterFunc(life, stream.Stop)
			return nil
		}}
		o := runFor(t, c, time.Hour)
		longest, count := gaps(c.watches, 0)
		if longest > life+time.Second || count > 3600*3 || len(c.lists) != 1 || o.Err() != nil {
			t.Errorf("%d watches, up to %s apart, %d lists, %v", count, longest, len(c.lists), o.Err())
		}
		if first := c.watches[1].Sub(c.watches[0]) - life; first > 100*time.Millisecond {
			t.Errorf("the first delay is %s", first)
		}
		if lines := o.logged(); lines != 6 {
			t.Errorf("%d log lines in an hour", lines)
		}
		c.watches, life = nil, 5*time.Minute
		o = runFor(t, c, time.Hour)
		if longest, _ := gaps(c.watches, 0); longest != life || o.logged() != 0 {
			t.Errorf("watches are up to %s apart, %d lines", longest, o.logged())
		}
	})
}

// A short watch is a success: an error between short watches does not lead to a long delay.
func TestFailureBetweenShortWatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		c := &clock{watch: func(stream *watch.FakeWatcher) error {
			if opened++; opened%20 == 0 {
				return apierrors.NewResourceExpired("too old")
			}
			time.AfterFunc(100*time.Millisecond, stream.Stop)
			return nil
		}}
		o := runFor(t, c, time.Hour)
		if longest, _ := gaps(c.watches, 0); longest > 2*time.Second || o.failures() != nil {
			t.Errorf("watches are up to %s apart, reported: %q", longest, o.failures())
		}
	})
}

// Lists that succeed do not reset the delay between watches that fail.
func TestBackoffOfWatchesThatFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{watch: func(*watch.FakeWatcher) error { return errors.New("no watch") }}
		o := runFor(t, c, 24*time.Hour)
		if _, count := gaps(c.lists, 0); count > 24*60*2+20 || len(o.failures()) != 1 {
			t.Errorf("%d lists, reported: %q", count, o.failures())
		}
	})
}

// A server that accepts a watch and goes silent is noticed after the time for which it was asked.
func TestSilentWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{watch: func(*watch.FakeWatcher) error { return nil }}
		o := runFor(t, c, 24*time.Hour)
		if longest, _ := gaps(c.watches, 0); longest > 12*time.Minute {
			t.Errorf("watches are up to %s apart", longest)
		}
		const want = "cannot watch configmaps in namespace sidecars: no answer came in time"
		if reported := o.failures(); len(reported) == 0 || reported[0] != want {
			t.Errorf("reported: %q", reported)
		}
	})
}

// A watch that expires after a while is part of normal operation, however often it happens.
func TestWatchesThatExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &clock{watch: func(stream *watch.FakeWatcher) error {
			expired := apierrors.NewResourceExpired("too old").Status()
			time.AfterFunc(time.Minute, func() { stream.Error(&expired) })
			return nil
		}}
		o := runFor(t, c, time.Hour)
		if longest, _ := gaps(c.watches, 0); longest > time.Minute+time.Second || o.failures() != nil {
			t.Errorf("watches are up to %s apart, reported: %q", longest, o.failures())
		}
	})
}
