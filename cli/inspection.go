package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/inspect"
	"k8s-sidecar-injector/store"
	"k8s-sidecar-injector/watcher"
)

// inspectionOptions are the options of the commands that read a cluster: which cluster, which pods, and which
// installation of the injector. Flags override those of the installation.
type inspectionOptions struct {
	kubeconfig    string
	context       string
	namespace     string // after Complete empty for all namespaces
	allNamespaces bool
	selector      string

	injector           string
	directory          string
	configMapLabels    string
	configMapNamespace string

	// clusterOptional is set if the command does not need a cluster with only --config-directory.
	clusterOptional bool

	// These are set by Complete.
	local              bool // whether no cluster is read
	config             *rest.Config
	name               types.NamespacedName // of the Deployment; empty to find it
	explicitKubeconfig bool                 // whether the flag is on the command line
}

func (o *inspectionOptions) AddFlags(flags *pflag.FlagSet) {
	flags.StringVarP(&o.namespace, "namespace", "n", "", "namespace of the pods (default that of the kubeconfig)")
	flags.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "pods of all namespaces")
	flags.StringVarP(&o.selector, "selector", "l", "", "label selector of the pods")
	o.AddInstallationFlags(flags)
}

// AddInstallationFlags adds the flags that select an installation, and not pods.
func (o *inspectionOptions) AddInstallationFlags(flags *pflag.FlagSet) {
	addGroup(flags, groupInstallation, func(flags *pflag.FlagSet) {
		o.addInjectorFlag(flags)
		flags.StringVar(&o.directory, "config-directory", "",
			"local directory of definitions, instead of the config directory of the installation")
		flags.StringVar(&o.configMapLabels, "configmap-labels", "",
			"label selector of the ConfigMaps with definitions (default that of the installation)")
		flags.StringVar(&o.configMapNamespace, "configmap-namespace", "",
			"namespace of these ConfigMaps (default that of the installation)")
	})
	addGroup(flags, groupCluster, o.addClusterFlags)
}

func (o *inspectionOptions) addInjectorFlag(flags *pflag.FlagSet) {
	flags.StringVar(&o.injector, "injector", "",
		"Deployment of the injector, as NAMESPACE/NAME (default the one that the chart has installed)")
}

func (o *inspectionOptions) addClusterFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.kubeconfig, "kubeconfig", "",
		"kubeconfig (default ~/.kube/config, or the service account of a pod) [$KUBECONFIG]")
	flags.StringVar(&o.context, "context", "", "context of the kubeconfig")
}

// Complete validates all flags, and reads the kubeconfig.
func (o *inspectionOptions) Complete(e *flagErrors) {
	if o.allNamespaces && o.namespace != "" {
		e.addf("--namespace and --all-namespaces exclude each other")
	}
	_, err := labels.Parse(o.selector)
	e.add("selector", err)
	_, err = labels.Parse(o.configMapLabels)
	e.add("configmap-labels", err)
	if o.injector != "" {
		namespace, name, _ := strings.Cut(o.injector, "/")
		o.name = types.NamespacedName{Namespace: namespace, Name: name}
		if len(validation.IsDNS1123Label(namespace))+len(validation.IsDNS1123Subdomain(name)) > 0 {
			e.add("injector", fmt.Errorf("%q is not NAMESPACE/NAME of a Deployment", o.injector))
		}
	}
	if o.configMapNamespace != "" {
		e.checkName("configmap-namespace", o.configMapNamespace, validation.IsDNS1123Label)
	}
	o.explicitKubeconfig = e.onCommandLine("kubeconfig")
	o.local = o.clusterOptional && o.directory != "" && !o.explicitKubeconfig &&
		o.context+o.injector+o.configMapLabels+o.configMapNamespace == ""
	if o.local {
		return
	}
	o.completeConfig(e)
	if o.allNamespaces {
		o.namespace = ""
	} else if e.err() == nil {
		e.checkName("namespace", o.namespace, validation.IsDNS1123Label)
	}
}

// completeConfig reads the kubeconfig. The default namespace is that of its context.
func (o *inspectionOptions) completeConfig(e *flagErrors) {
	rules := kubeconfigRules(o.kubeconfig)
	if o.kubeconfig == "" {
		rules.Precedence = []string{clientcmd.RecommendedHomeFile}
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		rules, &clientcmd.ConfigOverrides{CurrentContext: o.context})
	config, err := loader.ClientConfig()
	if err == nil {
		config.UserAgent = programName + "/" + version()
		o.config = config
		_, err = rest.HTTPClientFor(config) // reads the certificates
	}
	if err == nil && o.namespace == "" {
		o.namespace, _, err = loader.Namespace()
	}
	if clientcmd.IsEmptyConfig(err) {
		err = clusterError{errors.New("no cluster; set --kubeconfig or KUBECONFIG, or create ~/.kube/config")}
	}
	e.add("kubeconfig", err)
}

// scope names the namespaces.
func (o *inspectionOptions) scope() string {
	if o.namespace == "" {
		return "any namespace"
	}
	return "namespace " + o.namespace
}

// inspection is a cluster with an installation and the definitions that it serves.
type inspection struct {
	client    *inspect.Client // nil if no cluster is read
	settings  *inspect.Settings
	documents []conf.Document
	snapshot  *store.Snapshot // of the documents

	// lastValid are the sidecars of the snapshot whose documents are rejected, as the replicas describe them. The
	// snapshot does not have what they inject.
	lastValid []conf.ListedSidecar
	// lastValidUnknown is set if the replicas may serve last valid versions that are not known.
	lastValidUnknown bool
}

// newInspection finds the installation and loads the definitions that it serves. It reports what does not keep it from
// that.
func (o *inspectionOptions) newInspection(
	ctx context.Context, e *flagErrors, report io.Writer,
) (in *inspection, err error) {
	in, installation, err := o.loadInspection(ctx, e, report)
	if err != nil {
		return nil, err
	}
	reportRejections(in, report)
	in.addLastValid(ctx, installation, report)
	reportNoDefinitions(in, report)
	return in, nil
}

// loadInspection is newInspection without the last valid versions of rejected definitions. The installation may be
// nil.
func (o *inspectionOptions) loadInspection(
	ctx context.Context, e *flagErrors, report io.Writer,
) (in *inspection, installation *inspect.Installation, err error) {
	in = new(inspection)
	if !o.local {
		if in.client, err = inspect.NewClient(o.config); err != nil {
			return nil, nil, err
		}
		if installation, err = o.findInstallation(ctx, in.client, report); err != nil {
			return nil, nil, err
		}
	}
	if in.settings, err = o.readSettings(e, installation, report); err != nil {
		return nil, nil, err
	}
	if in.settings.Documents, err = o.readDirectory(ctx); err != nil {
		return nil, nil, err
	}
	in.settings.Directory = cmp.Or(o.directory, in.settings.Directory)
	if in.documents, err = in.client.Documents(ctx, installation, in.settings); err != nil {
		return nil, nil, err
	}
	if in.snapshot, err = in.settings.Load(ctx, in.documents); err != nil {
		return nil, nil, err
	}
	return in, installation, nil
}

// readDirectory returns the documents of the local directory. They are not nil, unless there is no directory.
func (o *inspectionOptions) readDirectory(ctx context.Context) ([]conf.Document, error) {
	if o.directory == "" {
		return nil, nil
	}
	documents, err := watcher.NewDirectory(o.directory, zerolog.Nop()).Documents(ctx, nil)
	return append([]conf.Document{}, documents...), err
}

func reportRejections(in *inspection, report io.Writer) {
	for rejection := range in.snapshot.Rejections() {
		for _, err := range rejection.Errors.Errors {
			fmt.Fprintf(report, "rejected: %v\n", err)
		}
	}
}

func reportNoDefinitions(in *inspection, report io.Writer) {
	if in.snapshot.Len() > 0 {
		return
	}
	var sources []string
	if in.settings.Directory != "" {
		sources = append(sources, "directory "+in.settings.Directory)
	}
	if in.settings.ConfigMapLabels != "" {
		sources = append(sources, fmt.Sprintf("configmaps %s (%s)",
			in.settings.ConfigMapNamespace, in.settings.ConfigMapLabels))
	}
	reportf(report, "warning: no valid definition in %s\n", cmp.Or(strings.Join(sources, ", "), "the installation"))
}

// findInstallation returns the installation. It is nil if none is found and flags select definitions.
func (o *inspectionOptions) findInstallation(
	ctx context.Context, client *inspect.Client, report io.Writer,
) (*inspect.Installation, error) {
	installation, err := client.Find(ctx, o.name)
	missing := errors.Is(err, inspect.ErrNoInstallation) || o.injector == "" && apierrors.IsForbidden(err)
	switch {
	case missing && (o.directory != "" || o.configMapLabels != "" && o.configMapNamespace != ""):
		reportf(report, "warning: the flags of the injector are unknown, so their defaults are used: %v\n", err)
		return nil, nil
	case missing:
		return nil, fmt.Errorf("%w; name the Deployment with --injector=NAMESPACE/NAME, or select definitions with "+
			"--config-directory, or with --configmap-labels and --configmap-namespace", err)
	case errors.Is(err, inspect.ErrSeveralInstallations):
		return nil, fmt.Errorf("%w; select one with --injector=NAMESPACE/NAME", err)
	}
	return installation, err
}

// readSettings parses the flags and variables of the installation as the daemon does. Flags of the command override
// them. The installation may be nil.
func (o *inspectionOptions) readSettings(
	own *flagErrors, installation *inspect.Installation, report io.Writer,
) (*inspect.Settings, error) {
	if installation == nil {
		installation = &inspect.Installation{Command: []string{programName}}
	}
	serve, e, err := parseServe(installation)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", installation, err)
	}
	overrideSettings(e.flags, own)
	cluster, injection := &serve.cluster, &serve.injection
	cluster.configMapNamespace = cmp.Or(cluster.configMapNamespace, installation.Namespace)
	injection.Complete(e)
	cluster.completeConfigMaps(e)
	if err := e.err(); err != nil {
		return nil, fmt.Errorf("%s: %w", installation, err)
	}
	reportUnknown(e.flags, installation, report)
	s := &inspect.Settings{
		Directory:       injection.directory,
		ConfigMapLabels: cluster.configMapLabels, ConfigMapNamespace: cluster.configMapNamespace,
		NamespaceDefaults: cluster.namespaceDefaults, Rules: injection.rules, Policy: injection.policy,
	}
	if !e.flags.Changed("config-directory") && !installation.HasDirectory(injection.directory) {
		s.Directory = ""
	}
	return s, nil
}

// overrideSettings sets the flags of the installation that are on the command line of the command, which are valid.
func overrideSettings(flags *pflag.FlagSet, own *flagErrors) {
	for _, name := range []string{
		"configmap-labels", "configmap-namespace", "namespace-defaults", "privileged-sources", "annotation-namespace",
		"ignored-namespaces", "on-unknown", "on-conflict",
	} {
		flag := own.flags.Lookup(name)
		if flag == nil || !own.onCommandLine(name) {
			continue
		}
		text := flag.Value.String()
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			text = strings.Join(list.GetSlice(), ",")
		}
		_ = flags.Set(name, text)
	}
}

// parseServe parses the flags and variables of an installation. Flags of other versions are ignored. Without a command,
// the program is the entry point of the image, also in the original's image.
func parseServe(installation *inspect.Installation) (*serveOptions, *flagErrors, error) {
	program := path.Base(cmp.Or(installation.Command[0], entrypointName))
	getenv := func(name string) string { return installation.Environment[name] }
	serve, flags := new(serveOptions), newGroup(program)
	serve.AddFlags(flags)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	switch program {
	case programName:
	case entrypointName:
		setEntrypointDefaults(flags)
		getenv = entrypointGetenv(getenv)
	default:
		return nil, nil, fmt.Errorf("its command is %q, not %s, so its flags are unknown",
			installation.Command[0], programName)
	}
	if err := flags.Parse(installation.Command[1:]); err != nil {
		return nil, nil, err
	}
	return serve, readEnvironment(flags, getenv), nil
}

// reportUnknown reports variables that may set a flag and whose values are not in the Deployment.
func reportUnknown(flags *pflag.FlagSet, installation *inspect.Installation, report io.Writer) {
	flags.VisitAll(func(flag *pflag.Flag) {
		group := strings.Join(flag.Annotations[flagGroup], "")
		matters := group == groupDefinitions || group == groupInjection
		if matters && !flag.Changed && slices.Contains(installation.Unknown, variableOf(flag)) {
			reportf(report, "warning: %s: the value of variable %s is not in the Deployment, so the default of --%s "+
				"is used\n", installation, variableOf(flag), flag.Name)
		}
	})
}
