package cluster

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
)

// Serve serves a handler on loopback with a certificate that the cluster's CA signed, until
// stop is called.
func (c *Cluster) Serve(handler http.Handler) (url string, stop func(), err error) {
	cert, key, err := c.authority.issue(c.dir, "serve-"+rand.Text()[:6])
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.ServeTLS(listener, cert, key) }()
	return fmt.Sprintf("https://%s", listener.Addr()), func() { _ = server.Close() }, nil
}
