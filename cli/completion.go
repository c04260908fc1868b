package cli

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"k8s-sidecar-injector/inspect"
	"k8s-sidecar-injector/mutate"
)

// completionTimeout limits the requests of a completion.
const completionTimeout = 2 * time.Second

// completeWith returns a function that completes with a prefix, and with nothing after an error or the timeout. The
// values that complete passes to add before count too.
func completeWith(
	streams IOStreams, complete func(ctx context.Context, e *flagErrors, add func(string)) error,
) cobra.CompletionFunc {
	return func(command *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(command.Context(), completionTimeout)
		defer cancel()
		var found []string
		_ = complete(ctx, readEnvironment(command.Flags(), streams.Getenv), func(value string) {
			if strings.HasPrefix(value, prefix) {
				found = append(found, value)
			}
		})
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlags completes the flags --namespace and --injector, if there are any. The function sets the kubeconfig.
func (o *inspectionOptions) completeFlags(command *cobra.Command, streams IOStreams, set func(*flagErrors)) {
	complete := func(name string, list func(*inspect.Client, context.Context, func(string)) error) {
		_ = command.RegisterFlagCompletionFunc(name, completeWith(streams,
			func(ctx context.Context, e *flagErrors, add func(string)) error {
				set(e)
				client, err := o.newClient(e)
				if err != nil {
					return err
				}
				return list(client, ctx, add)
			}))
	}
	complete("namespace", (*inspect.Client).Namespaces)
	complete("injector", (*inspect.Client).Installations)
}

// completeChoices completes the flags of a command and its subcommands that have a closed set of values.
func completeChoices(command *cobra.Command) {
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		choices := choicesOf(flag)
		if choices == nil {
			return
		}
		complete := func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
			unlike := func(choice string) bool { return !strings.HasPrefix(choice, prefix) }
			return slices.DeleteFunc(slices.Clone(choices), unlike), cobra.ShellCompDirectiveNoFileComp
		}
		_ = command.RegisterFlagCompletionFunc(flag.Name, complete) // the flag exists
	})
	for _, sub := range command.Commands() {
		completeChoices(sub)
	}
}

func choicesOf(flag *pflag.Flag) []string {
	switch flag.Name {
	case "output":
		return flag.Annotations[outputFormats]
	case "on-unknown", "on-conflict":
		return []string{string(mutate.Admit), string(mutate.Deny)}
	case "privileged-sources", "source":
		return []string{"files", "configmaps"}
	case "log-level":
		return []string{"debug", "info", "warn", "error"}
	case "log-format":
		return []string{formatJSON, formatConsole}
	}
	return nil
}

// newClient returns a client after Complete.
func (o *inspectionOptions) newClient(e *flagErrors) (*inspect.Client, error) {
	if err := e.err(); err != nil {
		return nil, err
	}
	return inspect.NewClient(o.config)
}

// completeRef completes one ref with those that the injector serves.
func (o *inspectionOptions) completeRef(streams IOStreams) cobra.CompletionFunc {
	complete := completeWith(streams, func(ctx context.Context, e *flagErrors, add func(string)) error {
		o.Complete(e)
		if err := e.err(); err != nil {
			return err
		}
		in, err := o.newInspection(ctx, e, io.Discard)
		if err != nil {
			return err
		}
		for s := range in.snapshot.Sidecars() {
			add(s.Ref.String())
		}
		return nil
	})
	return func(command *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(command, args, prefix)
	}
}

// addCompletion completes namespaces, and objects of a cluster.
func (o *explainOptions) addCompletion(command *cobra.Command, streams IOStreams) {
	o.inspection.completeFlags(command, streams, o.completeInspection)
	command.ValidArgsFunction = func(
		command *cobra.Command, args []string, prefix string,
	) ([]string, cobra.ShellCompDirective) {
		text, _, found := strings.Cut(prefix, "/")
		before := text + "/"
		if !found && len(args) == 1 && !strings.Contains(args[0], "/") {
			text, before = args[0], "" // TYPE NAME
		} else if !found {
			return kindPrefixes(prefix), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		}
		complete := completeWith(streams, func(ctx context.Context, e *flagErrors, add func(string)) error {
			o.completeInspection(e)
			client, err := o.inspection.newClient(e)
			if err != nil {
				return err
			}
			kind, err := findKind(ctx, client, text)
			if err != nil {
				return err
			}
			return client.Names(ctx, kind, o.inspection.namespace, func(name string) { add(before + name) })
		})
		return complete(command, args, prefix)
	}
}

// kindPrefixes returns the kinds with a prefix, each followed by a slash.
func kindPrefixes(prefix string) []string {
	var found []string
	for _, kind := range inspect.Kinds() {
		if strings.HasPrefix(kind.String(), prefix) {
			found = append(found, kind.String()+"/")
		}
	}
	return found
}
