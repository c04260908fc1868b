// Package cli is the command line: the command tree, a file a command, and the wiring of the
// daemon. It is the only package that knows all others, flags, signals and the environment.
package cli
