// Package podrules reports what Kubernetes would reject. It is an adapter for the API server's own
// defaulting and validation of pods, and for the Pod Security library.
//
// [Validate] checks a pod, [Introduced] compares a pod before and after injection, and
// [Definition.Faults] checks what a sidecar definition adds to pods. [Standards.Level] returns the Pod
// Security level that a definition needs. Feature gates have their defaults.
//
// Faults do not quote values of the pod, which may be secrets. Rules of our own are in package conf,
// except for annotations of container runtimes, which complete the Pod Security Standards.
package podrules
