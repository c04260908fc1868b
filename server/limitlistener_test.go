package server_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"k8s-sidecar-injector/server"
)

// port is a listener whose connections come from the test.
type port struct {
	*http.Server
	net.Listener
	incoming chan net.Conn
	registry *prometheus.Registry
	log      lines
}

func newPort(t *testing.T) *port {
	t.Helper()
	p := &port{
		Server: &http.Server{Handler: http.NotFoundHandler()}, incoming: make(chan net.Conn, 1),
		registry: prometheus.NewRegistry(),
	}
	metrics, err := server.NewMetrics(p.registry, load(t, sidecars))
	if err != nil {
		t.Fatal(err)
	}
	p.Listener = server.LimitConnections(p.Server, incoming{p.incoming}, metrics, zerolog.New(&p.log))
	return p
}

type incoming struct{ connections chan net.Conn }

func (i incoming) Accept() (net.Conn, error) {
	connection, open := <-i.connections
	if !open {
		return nil, net.ErrClosed
	}
	return connection, nil
}
func (incoming) Close() error   { return nil }
func (incoming) Addr() net.Addr { return &net.TCPAddr{} }

// peer is a connection from an address. It records whether it was closed.
type peer struct {
	net.Conn
	address string
	closed  bool
}

func (p *peer) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(p.address), Port: 1}
}

func (p *peer) Close() error {
	p.closed = true
	return nil
}

// connect opens a connection that the port accepts. It returns both ends.
func (p *port) connect(t *testing.T, address string) (*peer, net.Conn) {
	t.Helper()
	one := &peer{address: address}
	p.incoming <- one
	accepted, err := p.Accept()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Millisecond) // on the fake clock, so that no two connections have the same age
	return one, accepted
}

// refused checks that the port refuses a connection. Then another peer connects.
func (p *port) refused(t *testing.T, address, other string) {
	t.Helper()
	one := &peer{address: address}
	go func() {
		p.incoming <- one
		p.incoming <- &peer{address: other}
	}()
	accepted, err := p.Accept()
	if err != nil || !one.closed || accepted.RemoteAddr().String() != other+":1" {
		t.Errorf("the connection was accepted: %v", err)
	}
}

func (p *port) count(t *testing.T, open, displaced, refused int) {
	t.Helper()
	want := fmt.Sprintf(`# HELP sidecar_injector_connections Open connections, by port.
# TYPE sidecar_injector_connections gauge
sidecar_injector_connections{port="lifecycle"} 0
sidecar_injector_connections{port="webhook"} %d
# HELP sidecar_injector_connections_closed_total Connections closed because of a limit, by port and cause.
# TYPE sidecar_injector_connections_closed_total counter
sidecar_injector_connections_closed_total{cause="displaced",port="lifecycle"} 0
sidecar_injector_connections_closed_total{cause="displaced",port="webhook"} %d
sidecar_injector_connections_closed_total{cause="refused",port="lifecycle"} 0
sidecar_injector_connections_closed_total{cause="refused",port="webhook"} %d
sidecar_injector_connections_closed_total{cause="resets",port="lifecycle"} 0
sidecar_injector_connections_closed_total{cause="resets",port="webhook"} 0
`, open, displaced, refused)
	err := testutil.GatherAndCompare(p.registry, strings.NewReader(want), "sidecar_injector_connections",
		"sidecar_injector_connections_closed_total")
	if err != nil {
		t.Error(err)
	}
}

// A connection over the limit displaces the longest idle one of its peer. Busy connections stay, unless none is
// idle and they are stalled.
func TestConnectionsOfOnePeer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t)
		other, _ := p.connect(t, "10.0.0.2")
		var peers []*peer
		var accepted []net.Conn
		for range server.MaxPeerConnections {
			one, opened := p.connect(t, "10.0.0.1")
			peers, accepted = append(peers, one), append(accepted, opened)
		}
		p.ConnState(accepted[0], http.StateActive)
		_, _ = p.connect(t, "10.0.0.1")
		if peers[0].closed || !peers[1].closed || peers[2].closed || other.closed {
			t.Error("another connection than the longest idle one was displaced")
		}
		p.count(t, server.MaxPeerConnections+1, 1, 0)
		_ = accepted[2].Close()
		_, newest := p.connect(t, "10.0.0.1")
		p.count(t, server.MaxPeerConnections+1, 1, 0)

		for _, one := range accepted {
			p.ConnState(one, http.StateActive)
			time.Sleep(time.Millisecond)
		}
		p.ConnState(newest, http.StateActive)
		// Only the newest connection is idle.
		_, last := p.connect(t, "10.0.0.1")
		p.ConnState(last, http.StateActive)
		p.refused(t, "10.0.0.1", "10.0.0.2")
		p.count(t, server.MaxPeerConnections+2, 2, 1)
		time.Sleep(server.StallTimeout)
		p.ConnState(accepted[0], http.StateIdle)
		p.ConnState(accepted[0], http.StateActive) // it was answered
		_, _ = p.connect(t, "10.0.0.1")
		if peers[0].closed || !peers[3].closed {
			t.Error("another connection than the longest stalled one was displaced")
		}
		if other.closed {
			t.Error("a connection of another peer was displaced")
		}
	})
}

// A connection that works is displaced only after it has been idle for a moment, even if all others of its
// address are busy.
func TestWorkingConnectionsStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t)
		works, opened := p.connect(t, "10.0.0.1")
		answer := func() {
			p.ConnState(opened, http.StateActive)
			ctx := p.ConnContext(t.Context(), opened)
			p.Handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
			p.ConnState(opened, http.StateIdle)
		}
		for range server.MaxPeerConnections - 1 {
			_, busy := p.connect(t, "10.0.0.1")
			p.ConnState(busy, http.StateActive)
		}
		for range 3 {
			answer()
			p.refused(t, "10.0.0.1", "10.0.0.2")
			time.Sleep(server.MinIdleTime - time.Millisecond)
			p.refused(t, "10.0.0.1", "10.0.0.2")
		}
		if works.closed {
			t.Error("a connection that works was displaced")
		}
		time.Sleep(time.Millisecond)
		p.connect(t, "10.0.0.1")
		if !works.closed {
			t.Error("an idle connection was not displaced")
		}
	})
}

// A stalled connection is displaced before one that works and was idle for a moment.
func TestStalledConnectionsLose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t)
		works, opened := p.connect(t, "10.0.0.1")
		var stalled *peer
		for range server.MaxPeerConnections - 1 {
			one, busy := p.connect(t, "10.0.0.1")
			p.ConnState(busy, http.StateActive)
			if stalled == nil {
				stalled = one
			}
		}
		time.Sleep(server.StallTimeout)
		ctx := p.ConnContext(t.Context(), opened)
		p.Handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		p.connect(t, "10.0.0.1")
		if works.closed || !stalled.closed {
			t.Errorf("closed: works %t, stalled %t", works.closed, stalled.closed)
		}
	})
}

// Each cause of closing a connection has its own log message.
func TestClosedConnectionsAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t)
		var accepted []net.Conn
		for range server.MaxPeerConnections {
			_, opened := p.connect(t, "10.0.0.1")
			accepted = append(accepted, opened)
		}
		_, newest := p.connect(t, "10.0.0.1")
		for _, opened := range append(accepted[1:], newest) {
			p.ConnState(opened, http.StateActive)
		}
		p.refused(t, "10.0.0.1", "10.0.0.2")
		for range 1000 { // requests that are cancelled
			p.ConnState(newest, http.StateActive)
			p.ConnState(newest, http.StateIdle)
		}
		var got []string
		for _, event := range p.log.events(t) {
			got = append(got, fmt.Sprint(event["cause"], " ", event["peer"], ": ", event["message"]))
		}
		if diff := cmp.Diff([]string{
			"displaced 10.0.0.1: connection closed: a new connection displaces it",
			"refused 10.0.0.1: connection refused: the peer has too many",
			"resets 10.0.0.1: connection closed: the peer cancels too many requests",
		}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// In total, the peer with most connections loses one.
func TestConnectionsInTotal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t)
		for n := range server.MaxConnections {
			p.connect(t, fmt.Sprintf("10.0.%d.1", n*2/server.MaxPeerConnections))
		}
		most, _ := p.connect(t, "10.0.7.1") // has one more than the others
		p.count(t, server.MaxConnections, 1, 0)
		_, _ = p.connect(t, "10.1.0.1")
		p.count(t, server.MaxConnections, 2, 0)
		if most.closed {
			t.Error("the newest connection was displaced")
		}
	})
}

// If the port is full of busy connections, the peer with most of them loses its oldest one to a peer with
// fewer, until both have equally many.
func TestBusyConnectionsInTotal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t)
		var first *peer
		for n := range server.MaxConnections {
			one, accepted := p.connect(t, fmt.Sprintf("10.0.%d.1", n%9))
			p.ConnState(accepted, http.StateActive)
			if n == 0 {
				first = one // its address has one connection more than most of the others
			}
		}
		const others = server.MaxConnections / 10
		for range others {
			honest, accepted := p.connect(t, "10.1.0.1")
			if honest.closed {
				t.Fatal("a connection was refused")
			}
			p.ConnState(accepted, http.StateActive)
		}
		if !first.closed {
			t.Error("another connection than the least recent one of the largest peer was displaced")
		}
		p.count(t, server.MaxConnections, others, 0)
		p.refused(t, "10.1.0.1", "10.1.0.2")
	})
}

// Connections that are idle for long are closed while their peer has many.
func TestExcessIdleConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t)
		first, _ := p.connect(t, "10.0.0.1")
		for range server.MaxPeerConnections/2 - 1 {
			p.connect(t, "10.0.0.1")
		}
		p.connect(t, "10.0.0.1")
		if first.closed {
			t.Error("a connection was closed too early")
		}
		time.Sleep(server.ExcessIdleTimeout)
		p.connect(t, "10.0.0.1")
		if !first.closed {
			t.Error("a connection that is idle for long stays open")
		}
	})
}

// A hoard of idle connections delays neither an open nor a new connection of the same host.
func TestIdleHoard(t *testing.T) {
	t.Parallel()
	l := start(t, nil, nil)
	question := string(recorded(t, "v1-deployment-pod"))
	open := client(t, tlsConfig(l.certificate.Load()), true)
	ask := func(c *http.Client) {
		t.Helper()
		response, body := mustFetch(t, c, http.MethodPost, "https://"+l.webhook+"/mutate?timeout=10s", question)
		if response.StatusCode != http.StatusOK {
			t.Errorf("got %d %s", response.StatusCode, body)
		}
	}
	for n := range 2000 {
		connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.webhook)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		if n%10 == 0 {
			ask(open)
		}
	}
	ask(client(t, tlsConfig(l.certificate.Load()), true))
	ask(client(t, tlsConfig(l.certificate.Load()), false))
	connections := gauge(t, l.registry, "sidecar_injector_connections")
	if connections > server.MaxPeerConnections+1 {
		t.Errorf("%v connections are open", connections)
	}
}

// gauge returns the sum of the values of a gauge.
func gauge(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, metric := range family.GetMetric() {
				sum += metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A client that cancels many requests may open few connections, even after it has closed all others. Its
// connections that cancel few requests stay open, and so do those of other clients.
func TestResetsOutliveConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPort(t)
		cancels := func(one net.Conn, requests int) {
			for range requests {
				p.ConnState(one, http.StateActive)
				p.ConnState(one, http.StateIdle)
			}
		}
		honest, sent := p.connect(t, "10.0.0.1")
		for range server.PeerResetBurst / 2 / 100 {
			one, accepted := p.connect(t, "10.0.0.2")
			cancels(accepted, 100)
			if one.closed {
				t.Fatal("a connection with 100 canceled requests was closed")
			}
			_ = accepted.Close()
		}
		established, kept := p.connect(t, "10.0.0.2")
		another, many := p.connect(t, "10.0.0.2")
		cancels(kept, 10)
		cancels(many, 200)
		for range server.ReopenRate {
			_, accepted := p.connect(t, "10.0.0.2")
			cancels(accepted, server.PeerResetBurst/4)
		}
		cancels(many, 50)
		cancels(kept, 10)
		cancels(sent, 10)
		p.refused(t, "10.0.0.2", "10.0.0.3")
		if established.closed || honest.closed {
			t.Error("a connection that canceled few requests was closed")
		}
		if !another.closed {
			t.Error("a connection that canceled many requests stays open")
		}
		time.Sleep(server.PeerResetBurst * time.Second / server.PeerResetRate)
		for range 2 * server.ReopenRate {
			if one, _ := p.connect(t, "10.0.0.2"); one.closed {
				t.Error("a connection was refused after the address had recovered")
			}
		}
	})
}

// A client that cancels requests faster than any API server is disconnected. A client that cancels a few, as
// when reviews time out, stays connected.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		count        int
		open         bool // whether another request stays open, so that the connection is never idle
		end          func(frames *http2.Framer, stream uint32) error
		disconnected bool
		counted      bool // the HTTP/2 server may close a connection with many breaches first
	}{
		{"few", 32, false, cancel, false, false},
		{"many", 50_000, false, cancel, true, true},
		{"many beside an open request", 50_000, true, cancel, true, true},
		{"few breaches", 32, false, breach, false, false},
		{"many breaches", 50_000, false, breach, true, false},
		{"many breaches beside an open request", 50_000, true, breach, true, false},
		{"many overlong bodies", 50_000, false, overrun, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := start(t, nil, nil)
			config := tlsConfig(l.certificate.Load())
			config.NextProtos = []string{"h2"}
			dialer := tls.Dialer{Config: config}
			connection, err := dialer.DialContext(t.Context(), "tcp", l.webhook)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			go func() { _ = reset(connection, c.count, c.open, c.end) }()
			_ = connection.SetReadDeadline(time.Now().Add(20 * time.Second))
			frames := http2.NewFramer(io.Discard, connection)
			for {
				frame, err := frames.ReadFrame()
				if err != nil {
					if !c.disconnected {
						t.Errorf("the connection was closed: %v", err)
					}
					break
				}
				if ping, ok := frame.(*http2.PingFrame); ok && ping.IsAck() {
					if c.disconnected {
						t.Error("the connection is still open")
					}
					break
				}
			}
			if c.counted {
				eventually(t, "the connection is counted", func() bool {
					return gauge(t, l.registry, "sidecar_injector_connections_closed_total") > 0
				})
			}
		})
	}
}

// cancel ends a request. breach and overrun make the server end it.
func cancel(frames *http2.Framer, stream uint32) error {
	return frames.WriteRSTStream(stream, http2.ErrCodeCancel)
}

func breach(frames *http2.Framer, stream uint32) error {
	return frames.WriteWindowUpdate(stream, 0)
}

func overrun(frames *http2.Framer, stream uint32) error {
	return frames.WriteData(stream, true, []byte("more than was announced"))
}

// reset sends requests, ends each immediately, and sends a ping.
func reset(w io.Writer, count int, open bool, end func(*http2.Framer, uint32) error) error {
	var out, header bytes.Buffer
	out.WriteString(http2.ClientPreface)
	frames := http2.NewFramer(&out, nil)
	frames.AllowIllegalWrites = true
	encoder := hpack.NewEncoder(&header)
	_ = frames.WriteSettings()
	for n := range count {
		header.Reset()
		for _, field := range [][2]string{
			{":method", "POST"},
			{":scheme", "https"},
			{":path", "/mutate"},
			{":authority", "x"},
			{"content-type", "application/json"},
			{"content-length", "9"},
		} {
			_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
		}
		id := uint32(2*n + 1)
		_ = frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: header.Bytes(), EndHeaders: true})
		if n > 0 || !open {
			_ = end(frames, id)
		}
		if out.Len() > 1000 {
			if _, err := out.WriteTo(w); err != nil {
				return err
			}
		}
	}
	_ = frames.WritePing(false, [8]byte{})
	_, err := out.WriteTo(w)
	return err
}
