// Package store holds the sidecars in service: one immutable [Snapshot], which is replaced atomically.
//
// Only here, the writers (package watcher) and the readers (packages server and mutate) meet. Reading files and
// processing pods do not belong here.
package store
