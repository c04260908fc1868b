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

// Balancer stands in for kube-proxy: it listens at the address of a Service, and hands each new
// connection to a replica that is ready, in turn, or where there is none to one that still serves
// while it ends (KEP-1669). Connections that are open go on. It is safe for concurrent use.
type Balancer struct {
	listener net.Listener
	stop     context.CancelFunc
	done     sync.WaitGroup
	backends []*backend
	next     atomic.Uint64
}

// backend is a replica as the balancer knows it.
type backend struct {
	replica *Injector
	ready   atomic.Bool
	serves  atomic.Bool
}

// Balance starts to balance. It needs the right to listen at that address: below port 1024 that is
// root's, unless the kernel says otherwise.
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

// Stop ends it, but not the connections that are open.
func (b *Balancer) Stop() {
	b.stop()
	_ = b.listener.Close()
	b.done.Wait()
}

// follow asks for the readiness of a replica over and over: more often than a kubelet does, because
// here nobody says that a replica is about to be stopped.
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

// serve joins a client with a replica until both have said all that they had to say.
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

// pick gives the next replica that is ready, else one that serves, nil if none does.
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

// AwaitReady waits until new connections may be handed to a replica.
func (b *Balancer) AwaitReady(ctx context.Context, replica *Injector) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return replica.await(ctx, "the balancer to know that a replica is ready", func(context.Context) error {
		for _, one := range b.backends {
			if one.replica == replica && one.ready.Load() {
				return nil
			}
		}
		return errors.New("it does not")
	})
}
