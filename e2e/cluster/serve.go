package cluster

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"strconv"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Serve serves a handler on loopback, with a certificate of the cluster's CA, until stop is called.
func (c *Cluster) Serve(handler http.Handler) (url string, stop func(), err error) {
	address, stop, err := c.serve("127.0.0.1:0", nil, handler)
	return "https://" + address, stop, err
}

// ServeService creates a Service and serves a handler at its address, with a certificate for its DNS name,
// until stop is called. It returns the client config of its webhook.
func (c *Cluster) ServeService(
	ctx context.Context, namespace, name string, handler http.Handler,
) (config admissionregistrationv1.WebhookClientConfig, stop func(), err error) {
	ports, err := FreePorts(1)
	if err != nil {
		return config, nil, err
	}
	service, err := c.AddService(ctx, namespace, name, ports[0])
	if err != nil {
		return config, nil, err
	}
	address := net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(ports[0]))
	_, stop, err = c.serve(address, []string{name + "." + namespace + ".svc"}, handler)
	return admissionregistrationv1.WebhookClientConfig{
		Service: &admissionregistrationv1.ServiceReference{
			Namespace: namespace, Name: name, Path: new("/" + name), Port: new(int32(ports[0])),
		},
		CABundle: c.authority.pem,
	}, stop, err
}

// AddService creates a Service with one port. Its cluster IP is a loopback address, so that a listener on
// that address, or on all addresses, needs no kube-proxy.
func (c *Cluster) AddService(ctx context.Context, namespace, name string, port int) (*corev1.Service, error) {
	return c.Client.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: int32(port)}}},
	}, metav1.CreateOptions{})
}

// serve starts the server and returns its address.
func (c *Cluster) serve(address string, names []string, handler http.Handler) (served string, stop func(), err error) {
	cert, key, err := c.authority.issue(c.dir, "serve-"+rand.Text()[:6], names...)
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.ServeTLS(listener, cert, key) }()
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}
