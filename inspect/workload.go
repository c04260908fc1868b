package inspect

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"k8s-sidecar-injector/conf"
)

// Kind is a kind of objects that are pods or have a pod template.
type Kind struct {
	resource resource
	names    []string // singular, plural and short names, as in kubectl
}

// Kinds returns all kinds.
func Kinds() []Kind {
	apps := func(names ...string) Kind { return Kind{resource{prefix: "/apis/apps/v1", name: names[1]}, names} }
	batch := func(names ...string) Kind { return Kind{resource{prefix: "/apis/batch/v1", name: names[1]}, names} }
	core := func(names ...string) Kind { return Kind{resource{prefix: "/api/v1", name: names[1]}, names} }
	return []Kind{
		apps("deployment", "deployments", "deploy"),
		apps("statefulset", "statefulsets", "sts"),
		apps("daemonset", "daemonsets", "ds"),
		batch("job", "jobs"),
		batch("cronjob", "cronjobs", "cj"),
		apps("replicaset", "replicasets", "rs"),
		core("replicationcontroller", "replicationcontrollers", "rc"),
		core("pod", "pods", "po"),
	}
}

// ParseKind returns the one of Kinds that has a name as in kubectl, such as deploy or deployments.apps, in any letter
// case.
func ParseKind(text string) (Kind, error) {
	name, qualifier, _ := strings.Cut(strings.ToLower(text), ".")
	var all []string
	for _, kind := range Kinds() {
		_, group, _ := strings.Cut(kind.resource.String(), ".")
		if slices.Contains(kind.names, name) && qualifies(qualifier, group) {
			return kind, nil
		}
		all = append(all, kind.names...)
	}
	advice := conf.DidYouMean(name, slices.Values(all))
	if advice == "" {
		advice = ": want one of " + names(Kinds(), Kind.String) + ", or another namespaced kind of the cluster"
	}
	return Kind{}, fmt.Errorf("%q is none of the kinds that can be read%s", shortened(text), advice)
}

// String returns the singular name.
func (k Kind) String() string { return k.names[0] }

// Get reads an object as JSON. The controller is Kind/name of its own controller, or empty if it has none.
func (c *Client) Get(
	ctx context.Context, k Kind, namespace, name string,
) (object jsontext.Value, controller string, err error) {
	if err := c.get(ctx, k.resource, namespace, name, &object); err != nil {
		return nil, "", err
	}
	m, err := decodeMetadata(object)
	if o, found := m.controller(); found {
		controller = o.Kind + "/" + o.Name
	}
	return object, controller, err
}

// Names calls visit for the name of each object of a kind in a namespace.
func (c *Client) Names(ctx context.Context, k Kind, namespace string, visit func(name string)) error {
	r := k.resource
	r.metadata = true
	return c.names(ctx, r, namespace, visit)
}

// Namespaces calls visit for the name of each namespace.
func (c *Client) Namespaces(ctx context.Context, visit func(name string)) error {
	return c.names(ctx, namespaces(), "", visit)
}

// Installations calls visit with namespace/name of each Deployment that has the label of an installation or, if none
// has it, of each Deployment.
func (c *Client) Installations(ctx context.Context, visit func(name string)) error {
	found := false
	add := func(object jsontext.Value) error {
		m, err := decodeMetadata(object)
		visit(m.Namespace + "/" + m.Name)
		found = true
		return err
	}
	r := deployments()
	r.metadata = true
	err := c.list(ctx, r, "", map[string]string{"labelSelector": installationLabel}, add)
	if err != nil || found {
		return err
	}
	return c.list(ctx, r, "", nil, add)
}

func (c *Client) names(ctx context.Context, r resource, namespace string, visit func(name string)) error {
	return c.list(ctx, r, namespace, nil, func(object jsontext.Value) error {
		m, err := decodeMetadata(object)
		visit(m.Name)
		return err
	})
}

// NamespaceDefaults reads the requests of namespaces.
type NamespaceDefaults struct {
	Client     *Client
	Annotation string
}

// Default returns the request of a namespace, and whether it has one.
func (d NamespaceDefaults) Default(ctx context.Context, namespace string) (value string, found bool, err error) {
	var object jsontext.Value
	if err := d.Client.get(ctx, namespaces(), "", namespace, &object); err != nil {
		return "", false, err
	}
	m, err := decodeMetadata(object)
	value, found = m.Annotations[d.Annotation]
	return value, found, err
}
