// Package kube is the client side of the API server: small clients for single resources, one list/watch
// loop, and error messages for people.
//
// Only [Informer] lists and watches. It keeps a part of each object, which its owner chooses, and does not
// know what the objects mean.
package kube
