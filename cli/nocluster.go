package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"k8s-sidecar-injector/inspect"
)

// clusterError is the error that there is no cluster, or that it does not respond.
type clusterError struct{ error }

func (e clusterError) Unwrap() error { return e.error }

// lacksCluster reports whether a command failed because there is no cluster, or because it does not respond.
func lacksCluster(err error) bool {
	_, ok := errors.AsType[clusterError](err)
	return ok || inspect.Unreachable(err)
}

// printLocalCommands prints the commands that read files instead of a cluster. The program is its name in a command
// line.
func printLocalCommands(w io.Writer, program string) {
	table := [][]string{}
	for _, command := range [][2]string{
		{"list --config-directory=DIR", "list definitions"},
		{"describe REF --config-directory=DIR", "describe a definition"},
		{"diff NEW-DIR --config-directory=DIR", "compare definitions"},
		{"validate DIR", "validate definitions"},
		{"explain -f FILE --config-directory=DIR", "explain what pods would get"},
		{"inject -f FILE --config-directory=DIR", "inject sidecars into manifests"},
	} {
		table = append(table, []string{"  " + program + " " + command[0], command[1]})
	}
	var text bytes.Buffer
	writeTable(&text, table)
	fmt.Fprintf(w, "These commands need no cluster:\n%s", text.String())
}
