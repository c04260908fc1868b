package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
)

// Object is an API object.
type Object interface {
	runtime.Object
	metav1.Object
}

// List is a list of API objects.
type List interface {
	runtime.Object
	metav1.ListInterface
}

// Group is an API group in one version. Add adds its types to a scheme.
type Group struct {
	Version schema.GroupVersion
	Add     func(*runtime.Scheme) error
}

// Core returns the core group.
func Core() Group { return Group{corev1.SchemeGroupVersion, corev1.AddToScheme} }

// Client is a client of one resource. It is safe for concurrent use.
type Client[T Object, L List] struct {
	*gentype.ClientWithList[T, L]
	resource string
	codec    runtime.ParameterCodec
}

// NewClient returns a client of a resource. The namespace is empty for all namespaces and for a cluster-scoped
// resource. client-go's typed clientset would add the types of all API groups to the binary, 10 MB.
func NewClient[T Object, L List](
	config *rest.Config, group Group, resource, namespace string, newObject func() T, newList func() L,
) (*Client[T, L], error) {
	client, scheme, err := NewRESTClient(config, group)
	if err != nil {
		return nil, err
	}
	codec := runtime.NewParameterCodec(scheme)
	typed := gentype.NewClientWithList(resource, client, codec, namespace, newObject, newList)
	return &Client[T, L]{typed, resource, codec}, nil
}

// NewRESTClient returns a client of an API group, and a scheme with the types of the group.
func NewRESTClient(config *rest.Config, group Group) (*rest.RESTClient, *runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := group.Add(scheme); err != nil {
		return nil, nil, err
	}
	config = rest.CopyConfig(config)
	config.APIPath = "/apis"
	if group.Version.Group == corev1.GroupName {
		config.APIPath = "/api"
	}
	config.GroupVersion = &group.Version
	codecs := rest.CodecFactoryForGeneratedClient(scheme, serializer.NewCodecFactory(scheme))
	config.NegotiatedSerializer = codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	return client, scheme, err
}

// List lists the objects. Unlike client-go's List, it returns an error if the response has no kind or another
// kind, and if it has Retry-After, which client-go would wait for.
func (c *Client[T, L]) List(ctx context.Context, options metav1.ListOptions) (list L, err error) {
	object, err := c.request(options).Do(ctx).Get()
	if err != nil {
		return list, err
	}
	list, ok := object.(L)
	if !ok {
		return list, errNotList
	}
	return list, nil
}

// Watch opens a watch. Unlike client-go's Watch, it returns an error if the response has Retry-After.
func (c *Client[T, L]) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	options.Watch = true
	return c.request(options).Watch(ctx)
}

func (c *Client[T, L]) request(options metav1.ListOptions) *rest.Request {
	namespace := c.GetNamespace()
	return c.GetClient().Get().NamespaceIfScoped(namespace, namespace != "").
		Resource(c.resource).VersionedParams(&options, c.codec).MaxRetries(0)
}
