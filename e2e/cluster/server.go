package cluster

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

// Server is a process of another HTTPS server, with a serving certificate of the cluster's CA.
type Server struct {
	// Process is the running process.
	*Process
	// CA is the CA of the certificate.
	CA []byte
	// Port is the port that it listens on.
	Port int
}

// StartServer starts a program with additional flags, and waits until it listens. The program gets the flags -port,
// -cert and -key.
func (c *Cluster) StartServer(ctx context.Context, name, program string, args ...string) (*Server, error) {
	ports, err := FreePorts(1)
	if err != nil {
		return nil, err
	}
	cert, key, err := c.authority.issue(c.dir, name)
	if err != nil {
		return nil, err
	}
	s := &Server{CA: c.authority.pem, Port: ports[0]}
	args = append(args, "-port="+strconv.Itoa(s.Port), "-cert="+cert, "-key="+key)
	if s.Process, err = start(c.file(name+".log"), program, args...); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return s, s.await(ctx, name+" to listen", func(ctx context.Context) error {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err == nil {
			_ = connection.Close()
		}
		return err
	})
}
