// Command k8s-sidecar-injector is a mutating admission webhook that adds sidecars to pods.
package main

import (
	"os"

	"k8s-sidecar-injector/cli"
)

func main() {
	os.Exit(cli.Run(os.Args, cli.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr, Getenv: os.Getenv}))
}
