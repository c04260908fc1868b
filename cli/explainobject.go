package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"k8s-sidecar-injector/inspect"
)

// objectName names an object of a cluster.
type objectName struct {
	kind inspect.Kind
	name string
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
		kind, err := inspect.ParseKind(text)
		switch {
		case isFile && err != nil:
			return nil, fmt.Errorf("%q: name files with -f: %s -f %s", arg, path, strings.Join(args, " -f "))
		case !found || name == "" || strings.Contains(name, "/"):
			return nil, fmt.Errorf("%q: want TYPE/NAME or TYPE NAME, such as deployment/web", arg)
		case err != nil:
			return nil, err
		}
		objects = append(objects, objectName{kind, name})
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
		text, controller, err := in.client.Get(ctx, object.kind, o.inspection.namespace, object.name)
		if err != nil {
			return nil, err
		}
		if controller != "" && object.kind.String() == "pod" {
			fmt.Fprintf(streams.ErrOut, "pod/%s: it exists; %s\n", printable(object.name), adviseNext(controller))
		}
		err = visitPods(text, func(t podTemplate) error {
			result, err := injector.decide(ctx, t)
			results = append(results, result)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

// adviseNext returns what to do for the next pod of a controller, which is Kind/name.
func adviseNext(controller string) string {
	kind, _, _ := strings.Cut(controller, "/")
	controller = printable(strings.ToLower(controller))
	if _, err := inspect.ParseKind(kind); err != nil {
		return "the pod template of " + controller + ", its controller, cannot be read"
	}
	return "explain " + controller + " for the next one"
}
