package server_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s-sidecar-injector/server"
)

// queue is a queue for the only free slot.
type queue struct {
	t     *testing.T
	lanes *server.Lanes

	mutex  sync.Mutex
	served []string // the names of the requests that had the slot
	cut    []string // the names of those that were cut off
}

// newQueue returns a queue in which the client holds all slots until open is called.
func newQueue(t *testing.T, client *server.Client) (q *queue, open func()) {
	t.Helper()
	q = &queue{t: t, lanes: server.NewLanes()}
	first, others := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(others) })
	q.settle() // all clients of the test are connected
	for n := range q.lanes.Slots() {
		hold := others
		if n == 0 {
			hold = first
		}
		go func() { _ = q.lanes.Compute(t.Context(), client, func() { <-hold }) }()
	}
	q.settle()
	return q, func() {
		close(first)
		q.settle()
	}
}

// settle waits until all requests wait or are served, and for a different time.
func (q *queue) settle() {
	synctest.Wait()
	<-time.After(time.Millisecond)
}

// add makes requests of a client wait.
func (q *queue) add(name string, client *server.Client, requests int) {
	for range requests {
		go func() {
			err := q.lanes.Compute(q.t.Context(), client, func() {
				q.note(&q.served, name)
				<-time.After(time.Millisecond / 2)
			})
			if err != nil {
				q.note(&q.cut, name)
			}
		}()
	}
	q.settle()
}

func (q *queue) note(list *[]string, name string) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	*list = append(*list, name)
}

// await returns the positions at which the requests of that name were served.
func (q *queue) await(total int, name string) (positions []int) {
	q.t.Helper()
	for range total {
		q.settle()
	}
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if ended := len(q.served) + len(q.cut); ended != total {
		q.t.Errorf("%d of %d requests have ended", ended, total)
	}
	for n, served := range q.served {
		if served == name {
			positions = append(positions, n)
		}
	}
	return positions
}

// A request never waits for many requests of another connection from the same address.
func TestConnectionsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hoard := server.NewClient(nil)
		honest := server.NewClient(hoard)
		q, open := newQueue(t, hoard)
		q.add("hoard", hoard, 500)
		q.add("honest", honest, 1)
		open()
		if got := q.await(501, "honest"); !slices.Equal(got, []int{0}) {
			t.Errorf("the honest request was served at %v", got)
		}
	})
}

// An address has half of the slots if one other address has any number of connections. New connections
// get no slot before old ones.
func TestAddressesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		honest, hoard := server.NewClient(nil), server.NewClient(nil)
		q, open := newQueue(t, hoard)
		q.add("honest", honest, 3)
		for range 100 {
			q.add("hoard", server.NewClient(hoard), 2)
		}
		q.add("honest", honest, 2)
		open()
		if got := q.await(205, "honest"); !slices.Equal(got, []int{0, 2, 4, 6, 8}) {
			t.Errorf("the honest requests were served at %v", got)
		}
	})
}

// The requests of a hoard are cut off before an older one of another client.
func TestHoardsAreCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		honest, hoard := server.NewClient(nil), server.NewClient(nil)
		q, open := newQueue(t, hoard)
		q.add("honest", honest, 16)
		q.add("hoard", hoard, 1500)
		q.add("hoard", server.NewClient(hoard), 1500) // together more than the budget has room for
		open()
		if got := q.await(3016, "honest"); len(got) != 16 || len(q.cut) < 100 {
			t.Errorf("%d honest requests were served, and %d requests cut off", len(got), len(q.cut))
		}
	})
}

// addTrials makes trials of a client wait. Each takes half a second.
func (q *queue) addTrials(name string, client *server.Client, size int64, trials int) {
	for range trials {
		go func() {
			err := q.lanes.Try(q.t.Context(), client, size, func() {
				q.note(&q.served, name)
				<-time.After(time.Second / 2)
			})
			if err != nil {
				q.note(&q.cut, name)
			}
		}()
	}
	q.settle()
}

// Large trials of an address delay neither the small ones of the address nor those of other addresses. They
// are refused at once if many wait.
func TestTrialsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const refused = 24
		q := &queue{t: t, lanes: server.NewLanes()}
		hoard := server.NewClient(nil)
		other := server.NewClient(nil)
		q.settle()
		q.addTrials("hoard", hoard, 125<<10, 1)
		for range server.MaxTrials + refused {
			q.addTrials("hoard", server.NewClient(hoard), 125<<10, 1)
		}
		if len(q.cut) != refused {
			t.Errorf("%d trials were refused, want %d", len(q.cut), refused)
		}
		q.addTrials("small", server.NewClient(hoard), 300, 1)
		q.addTrials("other", other, 125<<10, 1)
		if len(q.cut) != refused+1 || slices.Contains(q.cut, "small") {
			t.Errorf("the trials of %q were refused", q.cut[refused:])
		}
		<-time.After(time.Minute)
		want := append([]string{"hoard", "other", "small"}, slices.Repeat([]string{"hoard"}, server.MaxTrials-1)...)
		if !slices.Equal(q.served, want) {
			t.Errorf("the order is %q, want %q", q.served, want)
		}
		if len(q.cut) != refused+1 {
			t.Errorf("%d trials were cut off, want %d", len(q.cut), refused+1)
		}
	})
}

// A large trial does not wait forever for small ones of its address.
func TestLargeTrialsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &queue{t: t, lanes: server.NewLanes()}
		client := server.NewClient(nil)
		q.addTrials("first", client, 300, 1)
		q.addTrials("large", server.NewClient(client), 3000, 1)
		for range 100 {
			q.addTrials("small", server.NewClient(client), 300, 1)
			<-time.After(time.Second / 2)
		}
		<-time.After(time.Minute)
		if at := slices.Index(q.served, "large"); at < 1 || at > 50 {
			t.Errorf("the large trial was served at %d", at)
		}
	})
}
