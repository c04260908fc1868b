package inspect

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"k8s-sidecar-injector/kube"
)

const (
	// pageSize is how many objects a request returns. It bounds memory.
	pageSize = 500
	// requestTimeout limits a request.
	requestTimeout = time.Minute
	// The rate limit of requests is that of kubectl.
	requestQPS   = 50
	requestBurst = 300
)

// Client reads objects of a cluster.
type Client struct {
	// Progress is called after each page of pods with the number of pods so far. Optional.
	Progress func(pods int)

	rest *rest.RESTClient
}

// NewClient returns a client. It does not connect.
func NewClient(config *rest.Config) (*Client, error) {
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	config.QPS, config.Burst, config.Timeout = requestQPS, requestBurst, requestTimeout
	client, _, err := kube.NewRESTClient(config, kube.Core())
	if err != nil {
		return nil, err
	}
	return &Client{rest: client}, nil
}

// resource is a resource of the API, such as deployments.apps.
type resource struct {
	prefix, name string
	// metadata requests only the metadata of each object.
	metadata bool
}

// list is the view of a list.
type list struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Continue string `json:"continue"`
	} `json:"metadata"`
	Items []jsontext.Value `json:"items"`
}

// errForeign is the error of a response from something other than an API server, such as a proxy.
var errForeign = errors.New("the response is not from a Kubernetes API server")

// list calls visit for each object, page by page. The namespace is empty for all namespaces. The parameters are
// selectors, as in the API. If a page expires, the list continues with newer objects.
func (c *Client) list(
	ctx context.Context, r resource, namespace string, parameters map[string]string, visit func(jsontext.Value) error,
) error {
	token, expired := "", false
	for {
		page, err := c.page(ctx, r, namespace, parameters, token)
		next := newerToken(err)
		switch {
		case next != "" && !expired:
			token, expired = next, true
			continue
		case err != nil:
			return r.describe("list", namespace, "", err)
		}
		for _, item := range page.Items {
			if err := visit(item); err != nil {
				return err
			}
		}
		if token, expired = page.Metadata.Continue, false; token == "" {
			return nil
		}
	}
}

// page requests one page of a list.
func (c *Client) page(
	ctx context.Context, r resource, namespace string, parameters map[string]string, token string,
) (*list, error) {
	request := c.request(r, namespace).Param("limit", strconv.Itoa(pageSize))
	if r.metadata {
		request.SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
	}
	if token != "" {
		request.Param("continue", token)
	}
	for name, value := range parameters {
		request.Param(name, value)
	}
	page := new(list)
	err := decode(request.Do(ctx), page)
	if err == nil && !strings.HasSuffix(page.Kind, "List") {
		err = errForeign
	}
	return page, err
}

// get reads one object.
func (c *Client) get(ctx context.Context, r resource, namespace, name string, object any) error {
	if err := decode(c.request(r, namespace).Name(name).Do(ctx), object); err != nil {
		return r.describe("get", namespace, "/"+name, err)
	}
	return nil
}

func (c *Client) request(r resource, namespace string) *rest.Request {
	return c.rest.Get().AbsPath(r.prefix).NamespaceIfScoped(namespace, namespace != "").Resource(r.name)
}

func decode(result rest.Result, object any) error {
	if err := result.Error(); err != nil {
		return err
	}
	body, err := result.Raw()
	if err != nil {
		return err
	}
	if jsonv2.Unmarshal(body, object) != nil {
		return errForeign
	}
	return nil
}

// newerToken returns the token with which the API server continues an expired list, or "".
func newerToken(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsResourceExpired(err) {
		return ""
	}
	return status.Status().Continue
}

// String returns the resource as in RBAC errors, such as deployments.apps.
func (r resource) String() string {
	parts := strings.Split(r.prefix, "/") // /api/v1 or /apis/GROUP/VERSION
	if len(parts) < 4 {
		return r.name
	}
	return r.name + "." + parts[2]
}

// RequestError is the error of a request to the API server.
type RequestError struct {
	request string
	err     error
}

// Error returns the request, and its error.
func (e *RequestError) Error() string { return fmt.Sprintf("cannot %s: %v", e.request, e.err) }

// Unwrap returns the error without the request.
func (e *RequestError) Unwrap() error { return e.err }

// Unreachable reports whether a request failed because no API server responds.
func Unreachable(err error) bool {
	var status apierrors.APIStatus
	_, isRequest := errors.AsType[*RequestError](err)
	return isRequest && !errors.As(err, &status)
}

// describe names the verb, the resource, the namespace and /NAME of a failed request. The name is empty for a list.
func (r resource) describe(verb, namespace, name string, err error) error {
	scope, role := " in all namespaces", "ClusterRole"
	if namespace != "" {
		scope, role = " in namespace "+namespace, "Role"
	}
	if r == namespaces() {
		scope, role = "", "ClusterRole"
	}
	grant := fmt.Sprintf("a %s that has the verb %s for %s", role, verb, r)
	return &RequestError{fmt.Sprintf("%s %s%s%s", verb, r, name, scope), kube.Explain(err, grant)}
}
