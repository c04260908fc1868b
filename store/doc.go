// Package store holds what is served: one immutable [Snapshot], swapped as a whole.
//
// It is the only place where the half that writes (watcher) and the half that reads
// (server, mutate) meet. Nothing here reads files or knows of pods.
package store
