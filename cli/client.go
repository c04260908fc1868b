package cli

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
)

// object is any object of the API.
type object interface {
	runtime.Object
	metav1.Object
}

// group is a group of the API with a version, and how a scheme learns its types.
type group struct {
	version schema.GroupVersion
	learn   func(*runtime.Scheme) error
}

// newClient does what the typed clients of client-go do, whose packages would link the types of
// every API group that there is: 10 MB. The namespace is empty for what has none.
func newClient[T object, L runtime.Object](config *rest.Config, group group, resource, namespace string, one func() T, list func() L) (*gentype.ClientWithList[T, L], error) {
	client, scheme, err := newRESTClient(config, group)
	if err != nil {
		return nil, err
	}
	return gentype.NewClientWithList(resource, client, runtime.NewParameterCodec(scheme), namespace, one, list), nil
}

// newRESTClient gives a client for all of a group, with the scheme that has its types.
func newRESTClient(config *rest.Config, group group) (*rest.RESTClient, *runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := group.learn(scheme); err != nil {
		return nil, nil, err
	}
	config = rest.CopyConfig(config)
	config.APIPath = "/apis"
	if group.version.Group == corev1.GroupName {
		config.APIPath = "/api"
	}
	config.GroupVersion = &group.version
	config.NegotiatedSerializer = rest.CodecFactoryForGeneratedClient(scheme, serializer.NewCodecFactory(scheme)).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	return client, scheme, err
}

// core is the group without a name.
func core() group { return group{corev1.SchemeGroupVersion, corev1.AddToScheme} }
