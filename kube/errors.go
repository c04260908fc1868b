package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
)

// ErrTimeout is the error of a request that exceeded its deadline.
var ErrTimeout = errors.New("no response in time")

var (
	errNotList          = errors.New("the response is not a list of this kind")
	errUnexpectedObject = errors.New("the API server sent an object of another kind or without a resourceVersion")
	errClosed           = errors.New("the connection was closed without a response")
)

// Explain makes an error of a request readable, and adds what to do. It removes the URL, which contains a random
// timeout, and the local port, so that repeated failures have the same text. The grant names the RBAC rule that
// allows the request.
func Explain(err error, grant string) error {
	if transport, ok := errors.AsType[*url.Error](err); ok {
		err = transport.Err
	}
	if connection, ok := errors.AsType[*net.OpError](err); ok {
		stable := *connection
		stable.Source = nil
		err = &stable
	}
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: grant it with %s", err, grant)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w: the API server does not accept the token or client certificate", err)
	}
	return err
}

// IsForeign reports whether something other than an API server, such as a proxy, sent the response.
func IsForeign(err error) bool {
	return errors.Is(err, errNotList) || runtime.IsNotRegisteredError(err) || runtime.IsMissingKind(err)
}

// timedOut returns ErrTimeout instead of err if ErrTimeout ended ctx.
func timedOut(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), ErrTimeout) {
		return ErrTimeout
	}
	return err
}
