package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

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
		Long: "Reads manifests, YAML or JSON, and prints them as YAML with the sidecars that their pods request.\n" +
			"Pods, lists and all kinds with a pod template in apps, batch and core are injected; others are printed\n" +
			"unchanged. A manifest that changes loses its comments and the order of its fields. Standard error shows\n" +
			"the result for each object. If a pod would be denied, or if the API server would reject it because of\n" +
			"its sidecars, nothing is printed and the exit code is 1. In CI, --on-unknown=deny does the same for pods\n" +
			"that request a sidecar that does not exist.",
		Example: `  k8s-sidecar-injector inject -f deployment.yaml | kubectl apply -f -
  k8s-sidecar-injector inject -f deployment.yaml --diff

  # In CI, with the definitions of a directory
  kustomize build . | k8s-sidecar-injector inject -f - --config-directory=sidecars/ --on-unknown=deny`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error { return o.run(command, streams) },
	}
	o.manifests.AddFlags(command.Flags())
	command.Flags().BoolVar(&o.diff, "diff", false, "print a unified diff instead")
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
	err = o.manifests.visitManifests(streams, "injected", func(document conf.Document) error {
		text, err := o.inject(command.Context(), injector, document)
		if output.Len() > 0 && !o.diff {
			output.WriteString("---\n")
		}
		output.Write(text)
		return err
	})
	if err != nil {
		return err
	}
	_, err = streams.Out.Write(output.Bytes())
	return err
}

// inject returns a manifest with its sidecars, or its diff. An unchanged manifest is returned byte for byte. It is an
// error if a pod would be denied, or if the API server would reject the injected pod.
func (o *injectOptions) inject(
	ctx context.Context, injector *manifestInjector, document conf.Document,
) ([]byte, error) {
	var patch jsonpatch.Patch
	object, err := injector.visit(ctx, document, func(r *podResult) error {
		refs := texts(r.decision.Sidecars, func(s *conf.Sidecar) string { return s.Ref.String() })
		sidecars := strings.Join(refs, ", ")
		switch {
		case r.decision.Outcome == mutate.Denied:
			return fmt.Errorf("denied, %s: %s", r.decision.Reason, r.message)
		case r.injected == nil:
			injector.reportResult(r.manifest, r.String())
		case len(r.faults) > 0:
			faults := strings.Join(texts(r.faults, fault.String), "; ")
			return fmt.Errorf("with %s, the API server would reject %s", sidecars, faults)
		default:
			injector.reportResult(r.manifest, "injected "+sidecars+r.standInNote())
			patch = append(patch, replaceOperation(r.pointer, r.injected))
		}
		return nil
	})
	switch {
	case err != nil, patch == nil && o.diff:
		return nil, err
	case patch == nil:
		return append(bytes.Trim(document.Content, "\r\n"), '\n'), nil
	}
	injected, err := patch.Apply(object)
	if err != nil {
		return nil, err
	}
	return o.format(document, object, injected)
}

// format returns the injected object, or the diff, as YAML.
func (o *injectOptions) format(document conf.Document, object, injected []byte) ([]byte, error) {
	after, err := yaml.JSONToYAML(injected)
	if err != nil || !o.diff {
		return after, err
	}
	before, err := yaml.JSONToYAML(object)
	name := document.Origin.Name
	if document.Origin.Index > 0 {
		name = fmt.Sprintf("%s document %d", name, document.Origin.Index+1)
	}
	return diff.Diff(name, before, name+" (injected)", after), err
}
