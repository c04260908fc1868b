package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/inspect"
	"k8s-sidecar-injector/mutate"
)

// defaultHome is the namespace of the installation in the docs.
const defaultHome = "sidecar-injector"

// checkOptions are the options of the check command.
type checkOptions struct {
	inspection inspectionOptions
	output     string
	before     bool
	trial      bool
	sidecar    string
	policy     mutate.Policy // of the trial pod

	ref conf.Ref // set by Complete; zero without --sidecar
}

func newCheck(streams IOStreams) *cobra.Command {
	o := new(checkOptions)
	command := &cobra.Command{
		Use:   "check",
		Short: "Check an installation in a cluster, or with --pre a cluster before it",
		Long: "Checks the API server, the installation of the injector, its webhooks, certificates and definitions, and\n" +
			"prints a line for each check, with a hint if something is wrong. A check is skipped if it does not apply, or\n" +
			"if the caller lacks a permission. Nothing is changed: the trial pod is created as a dry run. The exit code is\n" +
			"1 if a check fails; warnings do not count.\n\n" +
			"With --trial, only the trial pod is created, and nothing is read. So the caller needs only the permission to\n" +
			"create pods in its namespace. The tests of the chart do this.",
		Example: `  k8s-sidecar-injector check
  k8s-sidecar-injector check -n shop -o json

  # Before the installation
  k8s-sidecar-injector check --pre

  # Only whether a pod would get the sidecar
  k8s-sidecar-injector check --trial --sidecar=logger:v1 -n shop`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return o.run(command, streams) },
	}
	o.AddFlags(command)
	o.inspection.completeFlags(command, streams, o.inspection.Complete)
	_ = command.RegisterFlagCompletionFunc("sidecar", o.inspection.completeRef(streams)) // the flag exists
	return command
}

func (o *checkOptions) AddFlags(command *cobra.Command) {
	flags := command.Flags()
	flags.BoolVar(&o.before, "pre", false, "check whether the injector can be installed")
	flags.StringVarP(&o.inspection.namespace, "namespace", "n", "",
		"namespace of the trial pod (default that of the kubeconfig); with --pre the one to install in (default "+
			defaultHome+")")
	addOutput(flags, &o.output, outputText+", "+outputJSON+" or "+outputYAML, outputText, outputJSON, outputYAML)
	flags.BoolVar(&o.trial, "trial", false, "only create the trial pod; needs only the permission to create pods")
	flags.StringVar(&o.sidecar, "sidecar", "",
		"with --trial, the sidecar that the trial pod requests; if empty, only the call of the webhook is checked")
	flags.StringVar(&o.policy.AnnotationNamespace, "annotation-namespace", defaultAnnotations,
		"with --trial, the prefix of the annotations request, status and injected")
	o.inspection.AddInstallationFlags(flags)
}

// Complete validates all flags.
func (o *checkOptions) Complete(e *flagErrors) {
	checkOutput(e)
	if o.before {
		o.inspection.namespace = cmp.Or(o.inspection.namespace, defaultHome)
	}
	for _, name := range []string{"injector", "config-directory", "configmap-labels", "configmap-namespace"} {
		switch given := e.onCommandLine(name); {
		case given && o.before:
			e.addf("--pre and --%s exclude each other", name)
		case given && o.trial:
			e.addf("--trial and --%s exclude each other", name)
		}
	}
	o.completeTrial(e)
	o.inspection.Complete(e)
}

// completeTrial validates the flags of the trial pod.
func (o *checkOptions) completeTrial(e *flagErrors) {
	e.checkName("annotation-namespace", o.policy.AnnotationNamespace, validation.IsDNS1123Subdomain)
	if o.sidecar != "" {
		var err error
		o.ref, err = conf.ParseRef(o.sidecar)
		e.add("sidecar", err)
	}
	switch {
	case !o.trial:
		e.checkUnused("trial", "sidecar", "annotation-namespace")
	case o.before:
		e.addf("--trial and --pre exclude each other")
	}
}

func (o *checkOptions) run(command *cobra.Command, streams IOStreams) error {
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.Complete(e)
	if err := e.err(); err != nil {
		return err
	}
	client, err := inspect.NewClient(o.inspection.config)
	if err != nil {
		return err
	}
	p := &checkPrinter{streams: streams, output: o.output, results: []inspect.Result{}}
	if o.trial {
		client.CheckTrial(command.Context(),
			&inspect.Trial{Namespace: o.inspection.namespace, Sidecar: o.ref, Policy: &o.policy}, p.add)
		return p.end()
	}
	documents, err := o.inspection.readDirectory(command.Context())
	if err != nil {
		return err
	}
	options := inspect.CheckOptions{
		Name: o.inspection.name, Namespace: o.inspection.namespace,
		InPod: streams.Getenv("KUBERNETES_SERVICE_HOST") != "",
		ReadFlags: func(i *inspect.Installation) (*inspect.Settings, *inspect.Serving, []string, error) {
			return o.readFlags(e, i, documents)
		},
	}
	check := client.Check
	if o.before {
		check = client.CheckBefore
	}
	check(command.Context(), options, p.add)
	return p.end()
}

// readFlags parses the flags of an installation. The documents replace those of its config directory, unless they are
// nil.
func (o *checkOptions) readFlags(
	own *flagErrors, i *inspect.Installation, documents []conf.Document,
) (settings *inspect.Settings, serving *inspect.Serving, warnings []string, err error) {
	var report bytes.Buffer
	if settings, err = o.inspection.readSettings(own, i, &report); err != nil {
		return nil, nil, nil, err
	}
	settings.Documents = documents
	serve, _, err := parseServe(i)
	if err != nil {
		return nil, nil, nil, err
	}
	for line := range strings.Lines(report.String()) {
		warnings = append(warnings, strings.TrimPrefix(line, "warning: "))
	}
	return settings, serve.serving(i.Namespace), warnings, nil
}

// serving returns the flags that checks need. The namespace is that of the installation.
func (o *serveOptions) serving(namespace string) *inspect.Serving {
	s := &inspect.Serving{Port: o.tlsPort, LifecyclePort: o.lifecyclePort, CertFile: o.tls.certFile, Events: o.events}
	if !o.tls.selfManaged {
		return s
	}
	other, name, found := strings.Cut(o.tls.secret, "/")
	if !found {
		other, name = namespace, o.tls.secret
	}
	s.Secret = types.NamespacedName{Namespace: other, Name: name}
	s.CertFile, s.Configurations = "", o.tls.configurations
	return s
}

// checkPrinter prints the results of checks as they arrive, or all of them as JSON or YAML.
type checkPrinter struct {
	streams  IOStreams
	output   string
	results  []inspect.Result
	category string
}

func (p *checkPrinter) add(r inspect.Result) {
	p.results = append(p.results, r)
	if p.output != outputText {
		return
	}
	if r.Category != p.category {
		fmt.Fprintf(p.streams.Out, "%s%s\n", strings.Repeat("\n", min(1, len(p.category))), r.Category)
		p.category = r.Category
	}
	fmt.Fprintf(p.streams.Out, "%s %s: %s\n", p.symbol(r.Status), r.Name, printable(r.Message))
	if r.Hint != "" {
		fmt.Fprintf(p.streams.Out, "    hint: %s\n    see %s\n", r.Hint, r.Docs)
	}
}

// symbol returns the mark of a status. It is ASCII if the locale has another encoding than UTF-8.
func (p *checkPrinter) symbol(status inspect.Status) string {
	locale := cmp.Or(p.streams.Getenv("LC_ALL"), p.streams.Getenv("LC_CTYPE"), p.streams.Getenv("LANG"))
	isUTF8 := strings.HasSuffix(strings.ToLower(strings.ReplaceAll(locale, "-", "")), "utf8")
	symbols := map[inspect.Status]string{
		inspect.Passed: "✓", inspect.Warned: "!", inspect.Failed: "×", inspect.Skipped: "-",
	}
	if locale != "" && !isUTF8 {
		symbols[inspect.Passed], symbols[inspect.Failed] = "+", "x"
	}
	return symbols[status]
}

// end prints the summary, and returns an error if a check has failed.
func (p *checkPrinter) end() error {
	count := func(status inspect.Status) int {
		return len(slices.DeleteFunc(slices.Clone(p.results), func(r inspect.Result) bool { return r.Status != status }))
	}
	failures := count(inspect.Failed)
	if err := p.summarize(p.streams.Out, failures == 0, fmt.Sprintf("%d ok, %d warnings, %d failed, %d skipped",
		count(inspect.Passed), count(inspect.Warned), failures, count(inspect.Skipped))); err != nil {
		return err
	}
	if failures == 0 {
		return nil
	}
	err := fmt.Errorf("checks that failed: %d", failures)
	if slices.ContainsFunc(p.results, func(r inspect.Result) bool { return r.Unreachable }) {
		return clusterError{err}
	}
	return err
}

func (p *checkPrinter) summarize(w io.Writer, ok bool, text string) error {
	if p.output == outputText {
		_, err := fmt.Fprintf(w, "\n%s\n", text)
		return err
	}
	return printValue(w, p.output, map[string]any{"checks": p.results, "ok": ok})
}
