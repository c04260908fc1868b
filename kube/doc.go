// Package kube holds what every client of the API server in this program needs: small clients for
// single resources, one list/watch loop, and error messages for people.
//
// [Informer] is the only code that lists and watches. It keeps a part of each object that its
// owner chooses. It calls back after each change and knows nothing about what the objects mean.
package kube
