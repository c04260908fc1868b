//go:build torture

package torture_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// connection is a connection of a hostile client that writes arbitrary bytes.
type connection struct {
	net.Conn
}

// dial opens a TLS connection from a hostile address and negotiates a protocol by ALPN.
func (i *injector) dial(ctx context.Context, protocol string) (*connection, error) {
	plain, err := i.dialPlain(ctx, i.webhook)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		RootCAs:    i.roots,
		ServerName: "127.0.0.1",
		NextProtos: []string{protocol},
		MinVersion: tls.VersionTLS12,
	}
	c := tls.Client(plain.Conn, config)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, err
	}
	return &connection{c}, nil
}

// dialPlain opens a TCP connection from a hostile address.
func (i *injector) dialPlain(ctx context.Context, address string) (*connection, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: i.hostileAddress()}, Timeout: patience}
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{c}, nil
}

// send writes a text. It fails when ctx ends.
func (c *connection) send(ctx context.Context, text string) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Now()) })
	defer stop()
	_, err := io.WriteString(c.Conn, text)
	return err
}

// CloseWrite closes the sending side of the connection.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// awaitEnd reads until the server closes the connection, and reports whether that happens in time. It also
// returns true if ctx ends.
func (c *connection) awaitEnd(ctx context.Context, within time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(within))
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Now()) })
	defer stop()
	_, err := io.Copy(io.Discard, c.Conn)
	return !timedOut(err) || ctx.Err() != nil
}

// idle opens a connection and sends nothing. With an empty protocol it skips the TLS handshake.
func (i *injector) idle(ctx context.Context, protocol string) (end func()) {
	dial := i.dial
	if protocol == "" {
		dial = func(ctx context.Context, _ string) (*connection, error) { return i.dialPlain(ctx, i.webhook) }
	}
	c, err := dial(ctx, protocol)
	if err != nil {
		return func() {}
	}
	return func() { _ = c.Close() }
}

// http1 returns an HTTP/1.1 request with a body.
func http1(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", path, len(body), body)
}

// windowZero is the setting of a client that accepts no bytes of a response body.
var windowZero = http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}

// frames is an HTTP/2 client that controls each frame. It reads all frames and respects the flow-control
// windows of the server, but no other rule. Its methods fail once the connection is closed.
type frames struct {
	connection *connection
	framer     *http2.Framer
	next       uint32        // the ID of the next stream
	ended      chan struct{} // closed when the server ends a stream or the connection
	end        sync.Once

	mutex   sync.Mutex
	changed *sync.Cond
	initial int64            // the window of a new stream
	windows map[uint32]int64 // the send window by stream; 0 is the connection
	over    map[uint32]bool  // the streams that the server has ended
	err     error            // why the connection is closed
}

// frames opens a connection and closes it when ctx ends. If opening fails, every method fails.
func (i *injector) frames(ctx context.Context, settings ...http2.Setting) *frames {
	c := &frames{
		next:    1,
		ended:   make(chan struct{}),
		windows: map[uint32]int64{0: 65535},
		over:    make(map[uint32]bool),
		initial: 65535,
	}
	c.changed = sync.NewCond(&c.mutex)
	connection, err := i.dial(ctx, "h2")
	if err != nil {
		c.fail(err)
		return c
	}
	c.connection, c.framer = connection, http2.NewFramer(connection, connection)
	context.AfterFunc(ctx, c.close)
	settled := make(chan struct{})
	go c.read(sync.OnceFunc(func() { close(settled) }))
	_, err = io.WriteString(connection, http2.ClientPreface)
	if err == nil {
		err = c.framer.WriteSettings(settings...)
	}
	if err != nil {
		c.fail(err)
	}
	<-settled
	return c
}

func (c *frames) close() {
	if c.connection != nil {
		_ = c.connection.Close()
	}
}

func (c *frames) finish() { c.end.Do(func() { close(c.ended) }) }

// fail records that the connection is closed.
func (c *frames) fail(err error) {
	c.mutex.Lock()
	c.err = err
	c.mutex.Unlock()
	c.changed.Broadcast()
	c.finish()
}

func (c *frames) failure() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.err
}

// read updates the windows until the connection ends. It calls settled after the server's settings.
func (c *frames) read(settled func()) {
	defer settled()
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			c.fail(err)
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if size, ok := frame.Value(http2.SettingInitialWindowSize); ok {
				c.initial = int64(size)
			}
			settled()
		case *http2.WindowUpdateFrame:
			c.mutex.Lock()
			c.windows[frame.StreamID] += int64(frame.Increment)
			c.mutex.Unlock()
			c.changed.Broadcast()
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			c.ends(frame.Header().StreamID)
		case *http2.DataFrame:
			if frame.StreamEnded() {
				c.ends(frame.StreamID)
			}
		}
	}
}

// ends records that the server has ended a stream.
func (c *frames) ends(stream uint32) {
	c.mutex.Lock()
	c.over[stream] = true
	c.mutex.Unlock()
	c.changed.Broadcast()
	c.finish()
}

// reserve waits until the windows allow a stream to send size bytes.
func (c *frames) reserve(stream uint32, size int64) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for min(c.windows[0], c.windows[stream]) < size && c.err == nil && !c.over[stream] {
		c.changed.Wait()
	}
	if c.over[stream] {
		return io.ErrClosedPipe
	}
	c.windows[0] -= size
	c.windows[stream] -= size
	return c.err
}

// headerBlock encodes the header of a POST.
func headerBlock(path string, length int, more ...string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields := append([]string{
		":method", "POST", ":scheme", "https", ":authority", "x", ":path", path,
		"content-type", "application/json", "content-length", fmt.Sprint(length),
	}, more...)
	for n := 0; n < len(fields); n += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[n], Value: fields[n+1]})
	}
	return block.Bytes()
}

// open sends a header on a new stream.
func (c *frames) open(block []byte, endHeaders bool) (stream uint32, err error) {
	c.mutex.Lock()
	stream, err = c.next, c.err
	c.windows[stream] += c.initial
	c.mutex.Unlock()
	c.next += 2
	if err != nil {
		return 0, err
	}
	return stream, c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID:      stream,
		BlockFragment: block,
		EndHeaders:    endHeaders,
	})
}

// request sends a body and announces its length. The stream stays open if the announced length exceeds the
// body. more alternates the names and values of additional header fields.
func (c *frames) request(path, body string, announced int, more ...string) error {
	complete := announced == len(body)
	stream, err := c.open(headerBlock(path, announced, more...), true)
	for body != "" && err == nil {
		piece := body[:min(len(body), 16<<10)]
		body = body[len(piece):]
		if err = c.reserve(stream, int64(len(piece))); err == nil {
			err = c.framer.WriteData(stream, body == "" && complete, []byte(piece))
		}
	}
	return err
}

// rapidReset opens a stream and resets it at once (CVE-2023-44487).
func (c *frames) rapidReset() error {
	stream, err := c.open(headerBlock("/mutate", 1), true)
	if err != nil {
		return err
	}
	return c.framer.WriteRSTStream(stream, http2.ErrCodeCancel)
}

// continuation opens a stream with a header that never ends (CVE-2023-45288).
func (c *frames) continuation() error {
	stream, err := c.open(headerBlock("/mutate", 1), false)
	piece := bytes.Repeat([]byte{0x00, 1, 'x', 1, 'y'}, 3000) // literal fields x: y
	for err == nil {
		err = c.framer.WriteContinuation(stream, false, piece)
	}
	return err
}

func (c *frames) ping() error {
	if err := c.failure(); err != nil {
		return err
	}
	return c.framer.WritePing(false, [8]byte{})
}

func (c *frames) settings() error {
	if err := c.failure(); err != nil {
		return err
	}
	return c.framer.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096})
}

// emptyData opens one stream and sends frames without data on it (CVE-2019-9518).
func (c *frames) emptyData() error {
	if c.next == 1 {
		if _, err := c.open(headerBlock("/mutate", 1), true); err != nil {
			return err
		}
	}
	if err := c.failure(); err != nil {
		return err
	}
	return c.framer.WriteData(1, false, nil)
}

func (c *frames) windowUpdates() error {
	if err := c.failure(); err != nil {
		return err
	}
	return c.framer.WriteWindowUpdate(0, 1)
}

// hugeHeaders opens a stream with many small header fields.
func (c *frames) hugeHeaders() error {
	var more []string
	for n := range 400 {
		more = append(more, fmt.Sprintf("x-%d", n), strings.Repeat("y", 20))
	}
	_, err := c.open(headerBlock("/mutate", 1, more...), true)
	return err
}
