package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The groups of flags in --help. Flags without a group are those of the command itself.
const (
	groupServing      = "Serving"
	groupCertificates = "Certificates"
	groupDefinitions  = "Definitions"
	groupInjection    = "Injection rules"
	groupInstallation = "Installation"
	groupCluster      = "API server"
	groupLogging      = "Logging"
)

// flagGroup is the key of an annotation of flags.
const flagGroup = "group"

// helpColumns is the width of the descriptions of flags.
const helpColumns = 110

// addGroup adds flags to a group. --help shows them in the order in which they are added.
func addGroup(flags *pflag.FlagSet, group string, add func(*pflag.FlagSet)) {
	part := newGroup(group)
	add(part)
	part.VisitAll(func(flag *pflag.Flag) { flag.Annotations = map[string][]string{flagGroup: {group}} })
	flags.AddFlagSet(part)
}

// setHelp sets the help of all commands. It has groups of flags. The templates of cobra would need text/template, which
// makes the linker keep all exported methods: 10 MB.
func setHelp(root *cobra.Command) {
	root.SetHelpFunc(func(command *cobra.Command, _ []string) {
		out := command.OutOrStdout()
		fmt.Fprintln(out, strings.TrimSpace(cmp.Or(command.Long, command.Short)))
		fmt.Fprintln(out)
		printUsage(out, command)
	})
	root.SetUsageFunc(func(command *cobra.Command) error {
		printUsage(command.OutOrStderr(), command)
		return nil
	})
}

func printUsage(w io.Writer, command *cobra.Command) {
	fmt.Fprintln(w, "Usage:")
	if command.Runnable() {
		fmt.Fprintf(w, "  %s\n", command.UseLine())
	}
	if command.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s COMMAND [flags]\n", command.CommandPath())
	}
	if command.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", exampleOf(command))
	}
	if command.HasAvailableSubCommands() {
		fmt.Fprint(w, "\nCommands:\n")
		for _, child := range command.Commands() {
			if child.IsAvailableCommand() {
				fmt.Fprintf(w, "  %-*s %s\n", child.NamePadding(), child.Name(), child.Short)
			}
		}
	}
	for _, group := range groupsOf(command.Flags()) {
		fmt.Fprintf(w, "\n%s:\n%s", group.Name(), group.FlagUsagesWrapped(helpColumns))
	}
	if command.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nHelp for a command: %s COMMAND --help\n", command.CommandPath())
	}
}

// groupsOf returns a set of flags for each group that has visible flags, in the order of their first flags. Those
// without a group come first.
func groupsOf(flags *pflag.FlagSet) []*pflag.FlagSet {
	groups := []*pflag.FlagSet{newGroup("Flags")}
	flags.SortFlags = false
	flags.VisitAll(func(flag *pflag.Flag) {
		name := cmp.Or(strings.Join(flag.Annotations[flagGroup], ""), groups[0].Name())
		i := slices.IndexFunc(groups, func(group *pflag.FlagSet) bool { return group.Name() == name })
		if i < 0 {
			i = len(groups)
			groups = append(groups, newGroup(name))
		}
		groups[i].AddFlag(flag)
	})
	return slices.DeleteFunc(groups, func(group *pflag.FlagSet) bool { return !group.HasAvailableFlags() })
}

func newGroup(name string) *pflag.FlagSet {
	group := pflag.NewFlagSet(name, pflag.ContinueOnError)
	group.SortFlags = false
	return group
}
