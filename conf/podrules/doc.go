// Package podrules reports what Kubernetes would reject. It is an adapter for the API server's own
// defaulting and validation of pods, and for its Pod Security library.
//
// [Validate] checks a whole pod, [Introduced] compares two, and [Definition] is what a sidecar
// definition adds to pods. Feature gates have their defaults.
//
// No error quotes a value of the pod: it may be a secret. Rules of our own do not belong here.
package podrules
