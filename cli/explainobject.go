package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"k8s-sidecar-injector/inspect"
)

// objectName names an object of a cluster.
type objectName struct {
	typeName string
	name     string
}

// AddObjectFlags adds the flags for objects of a cluster.
func (o *explainOptions) AddObjectFlags(flags *pflag.FlagSet) {
	addGroup(flags, groupInstallation, func(flags *pflag.FlagSet) {
		flags.StringVar(&o.inspection.injector, "injector", "",
			"Deployment of the injector, as NAMESPACE/NAME (default the one that the chart has installed)")
	})
	addGroup(flags, groupCluster, func(flags *pflag.FlagSet) {
		flags.StringVar(&o.inspection.context, "context", "", "context of the kubeconfig")
	})
}

// completeObjects validates the arguments and flags for objects of a cluster.
func (o *explainOptions) completeObjects(e *flagErrors, path string, args []string) {
	var err error
	if o.objects, err = parseObjects(path, args); err != nil {
		e.addf("%w", err)
	}
	for _, name := range []string{"filename", "master-url"} {
		if e.onCommandLine(name) {
			e.addf("--%s has no effect with TYPE/NAME", name)
		}
	}
	o.manifests.injection.Complete(e)
	o.completeInspection(e)
}

// completeInspection copies the flags that explain shares with the commands for manifests.
func (o *explainOptions) completeInspection(e *flagErrors) {
	cluster, in := &o.manifests.cluster, &o.inspection
	in.kubeconfig = cluster.kubeconfig
	if e.onCommandLine("config-directory") {
		in.directory = o.manifests.injection.directory
	}
	if e.onCommandLine("configmap-labels") {
		in.configMapLabels = cluster.configMapLabels
	}
	if e.onCommandLine("configmap-namespace") {
		in.configMapNamespace = cluster.configMapNamespace
	}
	if e.onCommandLine("namespace") {
		in.namespace = o.manifests.namespace
	}
	in.Complete(e)
}

// parseObjects parses TYPE NAME, or any number of TYPE/NAME. The path is that of the command.
func parseObjects(path string, args []string) ([]objectName, error) {
	if len(args) == 2 && !strings.Contains(args[0]+args[1], "/") {
		args = []string{args[0] + "/" + args[1]}
	}
	var objects []objectName
	for _, arg := range args {
		text, name, found := strings.Cut(arg, "/")
		isFile := slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(arg))
		_, err := inspect.ParseKind(text)
		switch {
		case isFile && err != nil:
			return nil, fmt.Errorf("%q: name files with -f: %s -f %s", arg, path, strings.Join(args, " -f "))
		case !found || name == "" || strings.Contains(name, "/"):
			return nil, fmt.Errorf("%q: want TYPE/NAME or TYPE NAME, such as deployment/web", arg)
		}
		objects = append(objects, objectName{text, name})
	}
	return objects, nil
}

// explainObjects returns the results for objects of a cluster, with the definitions of its installation.
func (o *explainOptions) explainObjects(ctx context.Context, e *flagErrors, streams IOStreams) ([]*podResult, error) {
	in, err := o.inspection.newInspection(ctx, e, streams.ErrOut)
	if err != nil {
		return nil, err
	}
	injector := &manifestInjector{
		snapshot: in.snapshot, policy: &in.settings.Policy, namespace: o.inspection.namespace, report: streams.ErrOut,
	}
	if in.settings.NamespaceDefaults {
		injector.namespaces = inspect.NamespaceDefaults{Client: in.client, Annotation: in.settings.Policy.RequestAnnotation()}
	}
	var results []*podResult
	for _, object := range o.objects {
		kind, err := findKind(ctx, in.client, object.typeName)
		if err != nil {
			return nil, err
		}
		text, controller, err := in.client.Get(ctx, kind, o.inspection.namespace, object.name)
		if err != nil {
			return nil, err
		}
		if controller != "" && kind.String() == "pod" {
			fmt.Fprintf(streams.ErrOut, "pod/%s: it exists; %s\n", printable(object.name), adviseNext(controller))
		}
		err = visitPods(text, func(t podTemplate) error {
			result, err := injector.decideAny(ctx, t)
			results = append(results, result)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

// findKind returns a kind of workloads, or any other kind of the cluster.
func findKind(ctx context.Context, client *inspect.Client, typeName string) (inspect.Kind, error) {
	kind, err := inspect.ParseKind(typeName)
	if err == nil {
		return kind, nil
	}
	kind, found, discoveryErr := client.FindKind(ctx, typeName)
	switch {
	case discoveryErr != nil:
		return kind, discoveryErr
	case !found:
		return kind, err
	}
	return kind, nil
}

var errNoTemplate = errors.New("it has no pod template at spec.template or spec.jobTemplate.spec.template")

// decideAny is decide for objects of any kind, if they have a pod template where those of Kubernetes have theirs.
func (i *manifestInjector) decideAny(ctx context.Context, t podTemplate) (*podResult, error) {
	for _, path := range []string{"/spec/template", "/spec/jobTemplate/spec/template"} {
		if t.pod != nil {
			break
		}
		if _, err := lookup(t.object, path+"/spec/containers"); err == nil {
			t.path, t.pointer = path, path
			t.pod, _ = lookup(t.object, path) // it exists
		}
	}
	if t.pod == nil {
		return nil, errNoTemplate
	}
	return i.decide(ctx, t)
}

// adviseNext returns what to do for the next pod of a controller, which is Kind/name.
func adviseNext(controller string) string {
	kind, _, _ := strings.Cut(controller, "/")
	controller = printable(strings.ToLower(controller))
	if _, err := inspect.ParseKind(kind); err != nil {
		return "if " + controller + ", its controller, has a pod template, explain that for the next one"
	}
	return "explain " + controller + " for the next one"
}
