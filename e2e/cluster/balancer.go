package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Balancer replaces kube-proxy. It listens at the address of a Service, and forwards each new
// connection to a ready replica, round-robin. If none is ready, it uses a terminating replica that still
// serves (KEP-1669). Open connections continue. It is safe for concurrent use.
type Balancer struct {
	listener net.Listener
	stop     context.CancelFunc
	done     sync.WaitGroup
	backends []*backend
	next     atomic.Uint64
}

// backend is a replica with its readiness.
type backend struct {
	replica *Injector
	ready   atomic.Bool
	serves  atomic.Bool
}

// Balance starts a balancer. It must be allowed to listen at that address. Ports below 1024 need root,
// unless a sysctl allows them.
func Balance(ctx context.Context, address string, replicas ...*Injector) (*Balancer, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: ports below 1024 need root, or the sysctl net.ipv4.ip_unprivileged_port_start=0", err)
	}
	ctx, stop := context.WithCancel(ctx)
	b := &Balancer{listener: listener, stop: stop}
	for _, replica := range replicas {
		one := &backend{replica: replica}
		b.backends = append(b.backends, one)
		b.done.Go(func() { one.follow(ctx) })
	}
	b.done.Go(b.accept)
	return b, nil
}

// Stop stops the balancer. Open connections continue.
func (b *Balancer) Stop() {
	b.stop()
	_ = b.listener.Close()
	b.done.Wait()
}

// follow polls the readiness of a replica, more often than a kubelet, because nothing announces that a
// replica terminates.
func (e *backend) follow(ctx context.Context) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		ready, _, err := e.replica.Ready(ctx)
		e.ready.Store(err == nil && ready)
		e.serves.Store(err == nil)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (b *Balancer) accept() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return
		}
		go b.serve(client)
	}
}

// serve copies between a client and a replica until both have closed.
func (b *Balancer) serve(client net.Conn) {
	defer client.Close()
	replica := b.pick()
	if replica == nil {
		return
	}
	server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", replica.TLSPort))
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{server, client}, {client, server}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			if tcp, ok := way[0].(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
		})
	}
	both.Wait()
}

// pick returns the next ready replica, else one that serves, else nil.
func (b *Balancer) pick() (serves *Injector) {
	for range b.backends {
		one := b.backends[b.next.Add(1)%uint64(len(b.backends))]
		if one.ready.Load() {
			return one.replica
		}
		if one.serves.Load() {
			serves = one.replica
		}
	}
	return serves
}

// AwaitReady waits until the balancer may use a replica.
func (b *Balancer) AwaitReady(ctx context.Context, replica *Injector) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return replica.await(ctx, "the balancer to know that a replica is ready", func(context.Context) error {
		for _, one := range b.backends {
			if one.replica == replica && one.ready.Load() {
				return nil
			}
		}
		return errors.New("not ready")
	})
}
