// Package mutate is the pure function from a snapshot and a pod to a JSON Patch.
//
// [Pod] reads a [Request], a view of the AdmissionRequest with only what merging needs, and returns
// a [Decision]: outcome, reason and patch. The patch consists of operations on the object as
// received, so fields unknown to our API version survive.
//
// pod.go lists the stages of a review. merge.go lists the steps of merging. podlists.go,
// containerlists.go and scalars.go have the tables of merged fields. encode.go writes the result as a
// patch. Stages return typed causes, and messages.go turns them into messages. [Explain] also returns
// the result of each element. workload.go completes a pod template as its controller does.
//
// The package does no I/O, has no clock and keeps no state. The lookup of the default of a namespace
// belongs to the caller.
package mutate
