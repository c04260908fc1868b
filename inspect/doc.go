// Package inspect reads a cluster for the commands: the installation of the injector, the definitions that it serves,
// and the pods.
//
// [Client.Check] checks an installation. Its checks are in checklist.go.
//
// [Client] lists objects page by page as JSON, and decodes only the fields that are needed. It changes nothing. What
// a pod would get is decided by package mutate, and flags are parsed by package cli.
package inspect
