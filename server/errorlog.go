package server

import (
	"strings"

	"github.com/rs/zerolog"
)

// errorLog receives the lines that net/http logs about connections and handlers. Each kind has its own
// limit, so that lines about handshakes do not suppress those about panics.
type errorLog struct {
	panics, handshakes, connections zerolog.Logger
}

func newErrorLog(log zerolog.Logger) errorLog {
	return errorLog{
		panics:      throttled(log, "panics"),
		handshakes:  throttled(log, "failed TLS handshakes"),
		connections: throttled(log, "failed connections"),
	}
}

// Write implements io.Writer.
func (e errorLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	log, level, message := e.classify(text)
	log.WithLevel(level).Str("error", text).Msg(message)
	return len(line), nil
}

func (e errorLog) classify(text string) (log zerolog.Logger, level zerolog.Level, message string) {
	handshake := strings.Contains(text, "TLS handshake error")
	switch {
	case strings.Contains(text, "panic serving"):
		return e.panics, zerolog.ErrorLevel, "request handler panicked"
	case handshake && isDistrust(text):
		return e.handshakes, zerolog.WarnLevel, "TLS handshake failed: the client does not trust the certificate; " +
			"if it is an API server, check the caBundle of the webhook configuration"
	case handshake && strings.Contains(text, "bad record MAC"):
		// A TLS 1.3 client that rejects the certificate may send its alert before it encrypts.
		return e.handshakes, zerolog.WarnLevel, "TLS handshake failed: cannot decrypt a message of the client, " +
			"which may be an alert that it does not trust the certificate"
	case handshake && !isProbe(text):
		return e.handshakes, zerolog.WarnLevel, "TLS handshake failed"
	case strings.Contains(text, "Accept error"):
		return e.connections, zerolog.WarnLevel, "cannot accept connections; check the limit of open files"
	}
	return e.connections, zerolog.DebugLevel, "connection failed"
}

// isDistrust reports whether the client ended the handshake because of the certificate.
func isDistrust(text string) bool {
	return strings.Contains(text, "remote error: tls: unknown certificate") ||
		strings.Contains(text, "remote error: tls: bad certificate")
}

// isProbe reports whether the connection ended as those of port scans and TCP probes do.
func isProbe(text string) bool {
	return strings.HasSuffix(text, "EOF") || strings.Contains(text, "connection reset by peer") ||
		strings.Contains(text, "i/o timeout")
}
