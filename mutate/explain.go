package mutate

import (
	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// ElementResult is the result of merging one element of a sidecar into a pod or container.
type ElementResult struct {
	// Sidecar is the sidecar that the element belongs to, with the values of its parameters.
	Sidecar *conf.Sidecar
	// Field is the field of the definition, such as env or copyFrom.env.
	Field string
	// Name is the name or key of the element, or else what distinguishes it in its field. It is
	// never the value of a variable, label or annotation.
	Name string
	// List and Container identify the container: List is containers or initContainers, and
	// Container is its name. Both are empty for an element of the pod itself.
	List, Container string
	// Added reports whether the sidecar adds the element.
	Added bool
	// Why is the reason for leaving the element out. It is empty if the element is added, unless a variable
	// may override one of envFrom.
	Why string
}

// Explain decides as Pod does. It also returns a result for each element of the sidecars, in the
// order in which they are merged: variables and volumeMounts once for each container. There are no
// results if the decision does not depend on merging. In a conflict no element is added.
func Explain(snapshot *store.Snapshot, policy *Policy, request *Request) (Decision, []ElementResult) {
	r := review{snapshot: snapshot, policy: policy, request: request, explain: true}
	r.run()
	results := r.plan.results
	for i := range results {
		if result := &results[i]; result.Added && r.decision.Outcome != Injected {
			result.Added, result.Why = false, "not added because of the conflict"
		}
	}
	return r.decision, results
}

// omission is why an element is left out. The zero omission means that the element is added.
type omission struct {
	text string
	by   *conf.Sidecar // the other sidecar that causes it; nil for the pod
}

// The texts of omissions. If another sidecar causes the omission, they follow its name.
const (
	podHasIt          = "the pod already has it"
	podHasAnother     = "the pod already has another one"
	podHasLonger      = "the pod already has a longer one"
	podHasContainer   = "the pod already has a container of that name"
	defaultIsImplied  = "default applies to pods without a service account"
	nothingToAppend   = "the value is empty"
	hasValueFrom      = "the variable has valueFrom"
	valueHasIt        = "the value already contains it"
	overridesEnvFrom  = "overrides a variable of that name in envFrom"
	notCovered        = "appliesTo does not cover the container"
	containerHasIt    = "the container already has it"
	sourceLacksIt     = "the container to copy from does not have it"
	podLacksSource    = "the pod does not have the container to copy from"
	tokenIsReplaced   = "mounts of the service account's token are replaced"
	volumeIsMounted   = "the container already mounts the volume"
	pathIsMounted     = "the container already has another volume at the path"
	sidecarAddsIt     = "already adds it"
	sidecarAddsOther  = "already adds another one"
	sidecarAddsLonger = "adds a longer one"
	sidecarMountsPath = "already adds another volume at the path"
)

func (o omission) String() string {
	if o.by == nil {
		return o.text
	}
	return "sidecar " + o.by.Ref.String() + " " + o.text
}

// hasVariables reports whether the elements of a field are variables.
func hasVariables(field string) bool {
	return field == "env" || field == prependEnv || field == copiedEnv
}

// record reports whether an element is added. If the review is explained, it keeps the result.
// The container is nil for an element of the pod.
func (p *plan) record(s *conf.Sidecar, c *container, field, name string, why omission) bool {
	added := why.text == ""
	if p.explain {
		result := ElementResult{Sidecar: s, Field: field, Name: name, Added: added, Why: why.String()}
		if c != nil {
			result.List, result.Container = c.list, c.name
		}
		p.results = append(p.results, result)
		if added && hasVariables(field) {
			p.noteOverride(c) // sidecars have not added sources yet
		}
	}
	return added
}

// noteOverride adds to the last result that the added variable may override one of envFrom.
func (p *plan) noteOverride(c *container) {
	if sources := &c.lists[envFromList]; p.explain && len(sources.received)+len(sources.added) > 0 {
		p.results[len(p.results)-1].Why = overridesEnvFrom
	}
}
