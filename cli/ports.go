package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
)

// portOptions are the ports. Port 0 is any free port.
type portOptions struct {
	flags     *pflag.FlagSet
	tls       int
	lifecycle int
}

func (o *portOptions) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.IntVar(&o.tls, "tls-port", 9443, "port of the webhook, HTTPS")
	bindEnv(flags, "tls-port", "TLS_PORT")
	flags.IntVar(&o.lifecycle, "lifecycle-port", 9000, "port of /healthz, /readyz and /metrics, HTTP")
	bindEnv(flags, "lifecycle-port", "LIFECYCLE_PORT")
}

func (o *portOptions) conflict() bool { return o.tls == o.lifecycle && o.tls != 0 }

// Complete increments a lifecycle port that is not set and conflicts with the TLS port. The original's documentation
// sets --tls-port=9000, and the original has no lifecycle port.
func (o *portOptions) Complete(log zerolog.Logger) {
	if !o.conflict() || o.flags.Changed("lifecycle-port") {
		return
	}
	o.lifecycle++
	log.Warn().Int("lifecycle_port", o.lifecycle).Int("tls_port", o.tls).
		Msg("--lifecycle-port was not given and its default equals --tls-port; using the next port")
}

func (o *portOptions) Validate() error {
	errs := []error{o.validatePort("tls-port", o.tls), o.validatePort("lifecycle-port", o.lifecycle)}
	if o.conflict() {
		errs = append(errs, fmt.Errorf("%s and %s are both %d; use different ports",
			flagName(o.flags, "tls-port"), flagName(o.flags, "lifecycle-port"), o.tls))
	}
	return aggregate(errs...)
}

func (o *portOptions) validatePort(flag string, port int) error {
	if port < 0 || port > 65535 {
		return flagError(o.flags, flag, "%d is not a port; want 0 to 65535, where 0 is any free port", port)
	}
	return nil
}

// listen opens both ports on the host. An empty host is all addresses.
func (o *portOptions) listen(ctx context.Context, host string) (webhook, lifecycle net.Listener, err error) {
	if webhook, err = o.open(ctx, host, "tls-port", o.tls); err != nil {
		return nil, nil, err
	}
	if lifecycle, err = o.open(ctx, host, "lifecycle-port", o.lifecycle); err != nil {
		_ = webhook.Close()
		return nil, nil, err
	}
	return webhook, lifecycle, nil
}

func (o *portOptions) open(ctx context.Context, host, flag string, port int) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, flagError(o.flags, flag, "%w", err)
	}
	return listener, nil
}
