package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/hashicorp/go-multierror"
	"github.com/rs/zerolog"
)

// portFlags are the two ports. Port 0 means any free one.
type portFlags struct {
	flagSet
	tls       int
	lifecycle int
}

func (p *portFlags) define(flags flagSet) {
	p.flagSet = flags
	flags.IntVar(&p.tls, "tls-port", 9443, "port of the webhook, HTTPS")
	flags.env("tls-port", "TLS_PORT")
	flags.IntVar(&p.lifecycle, "lifecycle-port", 9000, "port of /healthz, /readyz and /metrics, HTTP")
	flags.env("lifecycle-port", "LIFECYCLE_PORT")
}

// check finds ports that cannot be, and moves the lifecycle port out of the way where it was
// not given and the TLS port has its default: the original had no such port.
func (p *portFlags) check(log zerolog.Logger) error {
	var faults *multierror.Error
	faults = multierror.Append(faults, p.checkPort("tls-port", p.tls), p.checkPort("lifecycle-port", p.lifecycle))
	if p.tls != p.lifecycle || p.tls == 0 {
		return listed(faults)
	}
	if p.Changed("lifecycle-port") {
		return listed(multierror.Append(faults, fmt.Errorf("%s and %s are both %d: give them different ports",
			p.named("tls-port"), p.named("lifecycle-port"), p.tls)))
	}
	p.lifecycle++
	log.Warn().Int("lifecycle_port", p.lifecycle).Int("tls_port", p.tls).
		Msg("--lifecycle-port was not given and --tls-port has its default: it moved to the next port")
	return listed(faults)
}

func (p *portFlags) checkPort(name string, port int) error {
	if port < 0 || port > 65535 {
		return fmt.Errorf("%s: %d is no port: want 0 to 65535, where 0 is any free one", p.named(name), port)
	}
	return nil
}

// listen opens both ports on the host, which is empty for all addresses.
func (p *portFlags) listen(ctx context.Context, host string) (webhook, lifecycle net.Listener, err error) {
	if webhook, err = p.open(ctx, host, "tls-port", p.tls); err != nil {
		return nil, nil, err
	}
	if lifecycle, err = p.open(ctx, host, "lifecycle-port", p.lifecycle); err != nil {
		_ = webhook.Close()
		return nil, nil, err
	}
	return webhook, lifecycle, nil
}

func (p *portFlags) open(ctx context.Context, host, flag string, port int) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.named(flag), err)
	}
	return listener, nil
}
