package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	utilversion "k8s.io/apimachinery/pkg/util/version"

	"k8s-sidecar-injector/kube"
)

const (
	// minVersion is the first version that has matchConditions of webhooks and ValidatingAdmissionPolicy enabled.
	minVersion = "1.30.0"
	// maxSkew is the difference of clocks above which certificates and tokens may be refused.
	maxSkew = 30 * time.Second
	// probeTimeout limits the first request, and connections to the injector.
	probeTimeout = 10 * time.Second
	// maxProbe bounds the size of responses that are not from an API.
	maxProbe = 4 << 20
)

const getVersion = "get /version"

// apiVersion is what the API server reports about itself.
type apiVersion struct {
	GitVersion string `json:"gitVersion"`
	parsed     *utilversion.Version
	skew       time.Duration // zero if the response has no date
}

// readVersion requests the version. The error is a RequestError unless there is a response of another status.
func (c *Client) readVersion(ctx context.Context) (*apiVersion, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.rest.Get().AbsPath("/version").URL().String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := c.rest.Client.Do(request)
	if errors.Is(err, context.DeadlineExceeded) {
		err = kube.ErrTimeout
	}
	if err != nil {
		return nil, &RequestError{getVersion, kube.Explain(err, "")}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxProbe))
	if err != nil {
		return nil, &RequestError{getVersion, err}
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("cannot %s: %s", getVersion, response.Status)
	}
	v := new(apiVersion)
	if jsonv2.Unmarshal(body, v) == nil {
		v.parsed, err = utilversion.ParseGeneric(v.GitVersion)
	}
	if v.parsed == nil || err != nil {
		return nil, &RequestError{getVersion, errForeign}
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		v.skew = time.Since(date).Round(5 * time.Second) // the date has no fractions
	}
	return v, nil
}

func (c *checkup) checkAPI(context.Context) outcome {
	_, err := c.version()
	if err == nil {
		return passed("the API server responds")
	}
	o := failed("%v", err)
	o.unreachable = Unreachable(err)
	return o
}

func (c *checkup) checkVersion(context.Context) outcome {
	v, err := c.version()
	switch {
	case err != nil:
		return c.unreadable(err)
	case v.parsed.LessThan(utilversion.MustParseGeneric(minVersion)):
		return failed("version %s is older than 1.30, which the matchConditions of the webhooks need", v.GitVersion)
	}
	return passed("version %s", v.GitVersion)
}

func (c *checkup) checkClock(context.Context) outcome {
	v, err := c.version()
	switch {
	case err != nil:
		return c.unreadable(err)
	case v.skew.Abs() > maxSkew:
		return warned("the clock of this machine and that of the API server differ by %s", v.skew.Abs())
	}
	return passed("the clock of this machine and that of the API server agree")
}
