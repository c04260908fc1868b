// Package cli implements the command line: the command tree, one file per command, and the wiring of the daemon.
//
// Each concern has an options struct with its flags and their validation. A command reads the environment, validates
// all options and then builds its components. Only this package imports all others, reads flags and the environment,
// and handles signals.
package cli
