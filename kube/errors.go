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

// ErrTimeout is the error of a request without a response in time.
var ErrTimeout = errors.New("no response in time")

var (
	errNoList   = errors.New("the response is not a list of this kind")
	errNoObject = errors.New("the API server sent an object of another kind, or without a version")
	errBroken   = errors.New("the connection was closed without a response")
)

// Explain returns an error for people. Its text is the same for each attempt: it omits the URL, which
// contains a random timeout, and the local port. The grant names the RBAC rule that allows the request.
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

// timedOut returns ErrTimeout instead of err if ctx ended because of it.
func timedOut(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), ErrTimeout) {
		return ErrTimeout
	}
	return err
}

// IsForeign reports whether a response was not from an API server, but from a proxy, for example.
func IsForeign(err error) bool {
	return errors.Is(err, errNoList) || runtime.IsNotRegisteredError(err) || runtime.IsMissingKind(err)
}
