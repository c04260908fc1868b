package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/spf13/cobra"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
)

// injectOptions are the options of the inject command.
type injectOptions struct {
	manifests manifestOptions
	diff      bool
}

func newInject(streams IOStreams) *cobra.Command {
	o := new(injectOptions)
	command := &cobra.Command{
		Use:   "inject -f FILE|-",
		Short: "Inject sidecars into manifests, as the webhook would",
		Long: "Reads manifests, YAML or JSON, and prints them with the sidecars that their pods request. Pods, lists and\n" +
			"all kinds with a pod template in apps, batch and core are injected; others are printed unchanged. Comments\n" +
			"and format stay, and --diff prints a patch for patch -p0. Standard error shows the result for each object.\n" +
			"If a pod would be denied, or if the API server would reject it because of its sidecars, nothing is printed\n" +
			"and the exit code is 1. In CI, --on-unknown=deny does the same for pods that request a sidecar that does\n" +
			"not exist. The config directory may also have manifests of ConfigMaps with definitions.",
		Example: `  k8s-sidecar-injector inject -f deployment.yaml | kubectl apply -f -
  k8s-sidecar-injector inject -f deployment.yaml --diff

  # In CI, with the definitions of a directory
  kustomize build . | k8s-sidecar-injector inject -f - --config-directory=sidecars/ --on-unknown=deny`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error { return o.run(command, streams) },
	}
	o.manifests.AddFlags(command.Flags())
	command.Flags().BoolVar(&o.diff, "diff", false, "print a unified diff of the files instead")
	return command
}

func (o *injectOptions) run(command *cobra.Command, streams IOStreams) error {
	e := readEnvironment(command.Flags(), streams.Getenv)
	o.manifests.Complete(e)
	if err := e.err(); err != nil {
		return err
	}
	injector, err := o.manifests.newInjector(command.Context(), streams.ErrOut)
	if err != nil {
		return err
	}
	var output bytes.Buffer
	files, err := o.manifests.visitManifests(streams, "injected", func(f *manifestFile, document conf.Document) error {
		text, err := injector.inject(command.Context(), document)
		f.replace(document, text)
		return err
	})
	if err != nil {
		return err
	}
	for _, f := range files {
		o.print(&output, f)
	}
	_, err = streams.Out.Write(output.Bytes())
	return err
}

// print prints the edited file, or its diff.
func (o *injectOptions) print(output *bytes.Buffer, f *manifestFile) {
	if o.diff {
		output.Write(f.diff())
		return
	}
	edited := f.edited()
	if output.Len() > 0 && !bytes.HasPrefix(edited, []byte("---")) {
		output.WriteString("---\n")
	}
	output.Write(append(bytes.TrimRight(edited, "\r\n"), '\n'))
}

// inject returns the text of a manifest with its sidecars. It is an error if a pod would be denied, or if the API
// server would reject the injected pod.
func (i *manifestInjector) inject(ctx context.Context, document conf.Document) ([]byte, error) {
	var patch jsonpatch.Patch
	object, err := i.visit(ctx, document, func(r *podResult) error {
		refs := texts(r.decision.Sidecars, func(s *conf.Sidecar) string { return s.Ref.String() })
		sidecars := strings.Join(refs, ", ")
		for _, warning := range r.decision.Warnings {
			i.reportResult(r.manifest, "warning: "+warning)
		}
		switch {
		case r.decision.Outcome == mutate.Denied:
			return fmt.Errorf("denied, %s: %s", r.decision.Reason, r.message)
		case r.injected == nil:
			i.reportResult(r.manifest, r.String())
		case len(r.faults) > 0:
			faults := strings.Join(texts(r.faults, fault.String), "; ")
			return fmt.Errorf("with %s, the API server would reject %s", sidecars, faults)
		default:
			i.reportResult(r.manifest, r.verb()+" "+sidecars+r.standInNote())
			patch = append(patch, replaceOperation(r.pointer, r.injected))
		}
		return nil
	})
	if err != nil || patch == nil {
		return document.Content, err
	}
	injected, err := patch.Apply(object)
	if err != nil {
		return nil, err
	}
	return editManifest(document, object, injected)
}

// verb returns the beginning of the report of an injection.
func (r *podResult) verb() string {
	if r.decision.Reason == mutate.ReasonCompleted {
		return "completed with"
	}
	return "injected"
}

// editManifest changes the text of a manifest to that of the injected object. If the text cannot be edited, it is
// encoded again.
func editManifest(document conf.Document, object, injected []byte) ([]byte, error) {
	before, err := decodeTree(object)
	if err != nil {
		return nil, err
	}
	after, err := decodeTree(injected)
	if err != nil {
		return nil, err
	}
	if text, err := editText(document, before, after); err == nil {
		return text, nil
	}
	if isJSONObject(document.Content) {
		return append(encodeJSON(after, "", "  "), '\n'), nil
	}
	return conf.JSONToYAML(injected)
}
