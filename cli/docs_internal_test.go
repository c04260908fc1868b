package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Update rewrites generated parts of docs instead of comparing them: go test ./cli -run 'Docs|Scripts/docs' -update
var Update = flag.Bool("update", false, "write the generated parts of docs")

// generatedPart is written by a test. The marker names it.
var generatedPart = regexp.MustCompile(`(?s)(<!-- generated: ([^\n]+) -->\n).*?(<!-- end of generated -->)`)

// CompareDocs compares the generated parts of a page, or writes them. It returns the names of the parts. The function
// returns the text of a part, given its name.
func CompareDocs(t interface{ Fatalf(string, ...any) }, path string, text func(name string) string) []string {
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var names []string
	want := generatedPart.ReplaceAllStringFunc(string(page), func(part string) string {
		match := generatedPart.FindStringSubmatch(part)
		names = append(names, match[2])
		return match[1] + text(match[2]) + match[3]
	})
	if *Update {
		err = os.WriteFile(path, []byte(want), 0o600)
	} else if diff := cmp.Diff(string(page), want); diff != "" {
		err = fmt.Errorf("%s (-page +program):\n%s", path, diff)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	return names
}

// TestDocs compares the pages on commands and flags with the program.
func TestDocs(t *testing.T) {
	t.Parallel()
	root := newRoot(programName, testStreams())
	root.InitDefaultCompletionCmd()
	var want []string
	for _, command := range root.Commands() {
		want = append(want, command.Name())
	}
	got := CompareDocs(t, "../docs/commands.md", func(name string) string {
		command, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		return helpBlock(t, command)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the commands in docs/commands.md (-want +got):\n%s", diff)
	}
	var tables strings.Builder
	for _, group := range groupsOf(root.Flags()) {
		if group.Lookup("version") == nil {
			fmt.Fprintf(&tables, "\n## %s\n\n%s", group.Name(), flagTable(group))
		}
	}
	tables.WriteString("\n")
	if CompareDocs(t, "../docs/flags.md", func(string) string { return tables.String() }) == nil {
		t.Error("docs/flags.md has no generated part")
	}
}

// helpBlock returns the help of a command as a block of Markdown.
func helpBlock(t *testing.T, command *cobra.Command) string {
	t.Helper()
	var help bytes.Buffer
	command.SetOut(&help)
	if err := command.Help(); err != nil {
		t.Fatal(err)
	}
	return "```text\n" + strings.TrimSpace(help.String()) + "\n```\n"
}

var inUsage = regexp.MustCompile(` (\[\$\w+\]|\(default ([^)]*)\))`)

// flagTable returns a table of the visible flags of a set.
func flagTable(flags *pflag.FlagSet) string {
	out := new(strings.Builder)
	out.WriteString("| flag | variable | default | |\n| --- | --- | --- | --- |\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		variable := variableOf(f)
		if variable != "" {
			variable = "`" + variable + "`"
		}
		value := strings.Trim(f.DefValue, "[]")
		if value != "" {
			value = "`" + value + "`"
		}
		for _, match := range inUsage.FindAllStringSubmatch(f.Usage, -1) {
			value += match[2] // instead of an empty one
		}
		usage := strings.ReplaceAll(inUsage.ReplaceAllString(f.Usage, ""), "*", `\*`)
		fmt.Fprintf(out, "| `--%s` | %s | %s | %s |\n", f.Name, variable, value, usage)
	})
	return out.String()
}
