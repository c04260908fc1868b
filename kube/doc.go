// Package kube has what is common to all access to the API server: clients of single resources, the list/watch
// loop, and readable errors.
//
// [Informer] is the only list/watch loop. Its caller selects the part of each object to cache. What the objects
// mean does not belong here.
package kube
