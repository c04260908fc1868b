package inspect

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kjson "k8s.io/apimachinery/pkg/util/json"
)

// installationLabel is the label of the Deployments that the chart and deploy/install.yaml create.
const installationLabel = "app.kubernetes.io/name=sidecar-injector"

// containerName is the name of the container of the injector. A Deployment of another origin may have another name
// if it has only one container.
const containerName = "injector"

// The errors of Find if the name is empty.
var (
	ErrNoInstallation       = errors.New("no Deployment in any namespace has the label " + installationLabel)
	ErrSeveralInstallations = errors.New("several Deployments have the label " + installationLabel)
)

// Installation is a Deployment of the injector.
type Installation struct {
	Namespace, Name string
	// Command is the program and its arguments, with variables expanded. The program is empty if it is that of the
	// image.
	Command []string
	// Environment has the variables whose values are in the Deployment.
	Environment map[string]string
	// Unknown are the variables whose values are elsewhere, such as in a Secret. They are not read.
	Unknown []string

	client    *Client
	object    *deployment
	container corev1.Container
	volumes   []corev1.Volume
}

// deployment is the view of a Deployment.
type deployment struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Replicas *int32                `json:"replicas"`
		Selector *metav1.LabelSelector `json:"selector"`
		Template struct {
			Metadata metav1.ObjectMeta `json:"metadata"`
			Spec     corev1.PodSpec    `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
	Status struct {
		ReadyReplicas   int32 `json:"readyReplicas"`
		UpdatedReplicas int32 `json:"updatedReplicas"`
	} `json:"status"`
}

// String returns `Deployment sidecar-injector/sidecar-injector`.
func (i *Installation) String() string { return "Deployment " + i.Namespace + "/" + i.Name }

// Find returns the Deployment of this name, or if the name is empty, the only one in the cluster with the label of an
// installation.
func (c *Client) Find(ctx context.Context, name types.NamespacedName) (*Installation, error) {
	if name.Name != "" {
		var object jsontext.Value
		if err := c.get(ctx, deployments(), name.Namespace, name.Name, &object); err != nil {
			return nil, err
		}
		return c.newInstallation(object)
	}
	var found []*Installation
	selector := map[string]string{"labelSelector": installationLabel}
	err := c.list(ctx, deployments(), "", selector, func(object jsontext.Value) error {
		installation, err := c.newInstallation(object)
		found = append(found, installation)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, ErrNoInstallation
	case len(found) > 1:
		names := make([]string, len(found))
		for n, installation := range found {
			names[n] = installation.Namespace + "/" + installation.Name
		}
		slices.Sort(names)
		return nil, fmt.Errorf("%w: %s", ErrSeveralInstallations, strings.Join(names, ", "))
	}
	return found[0], nil
}

func (c *Client) newInstallation(object jsontext.Value) (*Installation, error) {
	var d deployment
	if err := kjson.Unmarshal(object, &d); err != nil {
		return nil, fmt.Errorf("cannot decode a Deployment: %w", err)
	}
	spec := &d.Spec.Template.Spec
	i := &Installation{Namespace: d.Metadata.Namespace, Name: d.Metadata.Name, client: c, volumes: spec.Volumes}
	isInjector := func(c corev1.Container) bool { return c.Name == containerName || len(spec.Containers) == 1 }
	at := slices.IndexFunc(spec.Containers, isInjector)
	if at < 0 {
		return nil, fmt.Errorf("%s has no container %s", i, containerName)
	}
	i.object, i.container = &d, spec.Containers[at]
	i.readEnvironment()
	i.readCommand()
	return i, nil
}

// readEnvironment reads the variables of the container. They may refer to earlier ones.
func (i *Installation) readEnvironment() {
	i.Environment = make(map[string]string)
	for _, variable := range i.container.Env {
		from := variable.ValueFrom
		switch {
		case from == nil:
			i.Environment[variable.Name] = i.expand(variable.Value)
		case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.namespace":
			i.Environment[variable.Name] = i.Namespace
		default:
			delete(i.Environment, variable.Name)
			i.Unknown = append(i.Unknown, variable.Name)
		}
	}
}

func (i *Installation) readCommand() {
	i.Command = []string{""}
	if len(i.container.Command) > 0 {
		i.Command = nil
	}
	for _, argument := range slices.Concat(i.container.Command, i.container.Args) {
		i.Command = append(i.Command, i.expand(argument))
	}
}

// reference matches a reference to a variable in an argument, or an escaped dollar sign.
var reference = regexp.MustCompile(`\$\$|\$\([-._a-zA-Z][-._a-zA-Z0-9]*\)`)

// expand expands references to known variables as the kubelet does.
func (i *Installation) expand(text string) string {
	return reference.ReplaceAllStringFunc(text, func(match string) string {
		if match == "$$" {
			return "$"
		}
		if value, known := i.Environment[match[2:len(match)-1]]; known {
			return value
		}
		return match
	})
}
