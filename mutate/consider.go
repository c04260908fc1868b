package mutate

import (
	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// Considered is one element of a sidecar and what became of it in one pod.
type Considered struct {
	// Sidecar is the one that brings it, with the values of its parameters.
	Sidecar *conf.Sidecar
	// Field is the field of the definition, such as env.
	Field string
	// Name is the element's name, key or whatever tells it from the others of its field. It is
	// never the value of a variable, label or annotation.
	Name string
	// List and Container are the container that it was to go into: containers or initContainers,
	// and its name as the pod has it. Both are empty where it was to go into the pod itself.
	List, Container string
	// Added tells whether it is in the resulting pod because of this sidecar.
	Added bool
	// Why tells why it was left; empty if it was added.
	Why string
}

// Explain decides as Pod does, and gives every element that was considered on the way, in the
// order in which that was done: all of every sidecar, each once for every container that it
// concerns. There are none where the decision fell before any was looked at. Of a conflict, none
// is added, and they tell what would have become of each.
func Explain(snapshot *store.Snapshot, policy *Policy, request *Request) (Decision, []Considered) {
	n := &notes{by: make(map[noted]*conf.Sidecar)}
	decision := pod(snapshot, policy, request, n)
	if decision.Outcome != Injected {
		n.takeBack()
	}
	return decision, n.all
}
