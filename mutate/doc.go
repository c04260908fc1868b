// Package mutate is the pure function from a snapshot and a pod to a JSON Patch.
//
// [Pod] reads a [Request], which holds only as much of the pod as merging needs, and gives a
// [Decision]: the outcome, the reason, and the patch. The patch consists of operations on the
// object as it was received, never of a re-encoded pod: what the API types here do not know
// survives.
//
// What is asked, and by whom, is in ask.go and request.go; who may have it in guard.go; the
// values of parameters in parameters.go.
//
// Each rule of merging has a file of its own: serviceaccount.go, containers.go, volumes.go,
// mounts.go, env.go, envfrom.go, host.go, metadata.go, scheduling.go. They fill a plan, each for
// all sidecars before the next; what would make the pod invalid is found in conflict.go,
// hostconflicts.go, ports.go and demands.go, before anything is answered; encode.go and patch.go
// write the operations. [Explain] has the rules tell what they did, see consider.go and notes.go. Two files
// keep a hostile pod from taking memory: lists.go while it is decoded, size.go before anything is
// made of it.
//
// Nothing here does I/O, knows the time, or keeps state.
package mutate
