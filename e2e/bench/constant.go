package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"
)

// uidKey precedes the uid of a review and of a response, which both begin with it.
const uidKey = `"uid":"`

// ServeConstant runs the server of the comparison until ctx ends: it reads the request and writes the response of the
// file, with the uid of the request.
func ServeConstant(ctx context.Context, port int, certFile, keyFile, responseFile string) error {
	handler, err := newConstant(responseFile)
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr:              fmt.Sprintf("127.0.0.1:%d", port),
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServeTLS(certFile, keyFile); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newConstant returns the handler of ServeConstant.
func newConstant(responseFile string) (http.Handler, error) {
	response, err := os.ReadFile(responseFile)
	if err != nil {
		return nil, err
	}
	before, after, err := aroundUID(response)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		from, to, err := aroundUID(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		uid := body[len(from) : len(body)-len(to)]
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(slices.Concat(before, uid, after))
	}), nil
}

// aroundUID returns what precedes and what follows the first uid.
func aroundUID(content []byte) (before, after []byte, err error) {
	start := bytes.Index(content, []byte(uidKey))
	if start < 0 {
		return nil, nil, errors.New("no uid")
	}
	start += len(uidKey)
	length := bytes.IndexByte(content[start:], '"')
	if length < 0 {
		return nil, nil, errors.New("uid does not end")
	}
	return content[:start], content[start+length:], nil
}
