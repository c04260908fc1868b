package cli

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestHelp verifies that the help of each command has an example that begins with the command, and every flag once.
func TestHelp(t *testing.T) {
	t.Parallel()
	root := newRoot(programName, testStreams())
	for _, command := range append(root.Commands(), root) {
		var help bytes.Buffer
		command.SetOut(&help)
		command.InitDefaultHelpFlag()
		if err := command.Help(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(command.Example, command.CommandPath()) {
			t.Errorf("%s: no example contains the command", command.CommandPath())
		}
		if !strings.Contains(help.String(), "\nExamples:\n"+command.Example+"\n") {
			t.Errorf("%s: the help has no examples:\n%s", command.CommandPath(), &help)
		}
		command.Flags().VisitAll(func(flag *pflag.Flag) {
			want := 1
			if flag.Hidden {
				want = 0
			}
			pattern := regexp.MustCompile(`(?m)^ {2}(-., | {4})--` + flag.Name + `[ \[]`)
			if got := len(pattern.FindAllString(help.String(), -1)); got != want {
				t.Errorf("%s: the help has --%s %d times, want %d", command.CommandPath(), flag.Name, got, want)
			}
		})
		for line := range strings.Lines(help.String()) {
			if len(line) > helpColumns+20 { // pflag does not leave a short last word alone
				t.Errorf("%s: %d columns: %s", command.CommandPath(), len(line), line)
			}
		}
	}
}

// TestHelpGroups verifies that each flag of the daemon is in a group, and which groups there are.
func TestHelpGroups(t *testing.T) {
	t.Parallel()
	var names []string
	for _, group := range groupsOf(newRoot(programName, testStreams()).Flags()) {
		names = append(names, group.Name())
		if group.Name() == "Flags" && group.FlagUsages() != "      --version[=true|false]   print the version\n" {
			t.Errorf("flags without a group:\n%s", group.FlagUsages())
		}
	}
	want := []string{"Flags", "Serving", "Certificates", "Definitions", "Injection rules", "API server", "Logging"}
	if !slices.Equal(names, want) {
		t.Errorf("groups %q, want %q", names, want)
	}
}
