package mutate

import (
	"fmt"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// Pod decides about one request. It reads nothing but its arguments and changes none of
// them; the same arguments give the same bytes. It is safe for concurrent use.
func Pod(snapshot *store.Snapshot, policy *Policy, request *Request) Decision {
	return pod(snapshot, policy, request, nil)
}

func pod(snapshot *store.Snapshot, policy *Policy, request *Request, notes *notes) Decision {
	q := request.ask(policy)
	decision := decide(snapshot, policy, request, q, notes)
	decision.attribute(policy, request, q)
	decision.Generation = snapshot.Generation()
	return decision
}

func decide(snapshot *store.Snapshot, policy *Policy, request *Request, q question, notes *notes) Decision {
	if reason, leave := leaveAlone(policy, request, q); leave {
		return skip(reason)
	}
	refs, err := parseRequest(q.asked)
	if err != nil {
		return refuse(policy.OnUnknown, ReasonBadRequest, fmt.Sprintf("%s: %v", q.annotation(policy, request), err))
	}
	sidecars, err := find(snapshot, refs)
	if err != nil {
		return refuse(policy.OnUnknown, ReasonUnknownSidecar, fmt.Sprintf("%s: %v", q.annotation(policy, request), err))
	}
	if decision, guarded := guard(policy, request, sidecars); guarded {
		return decision
	}
	filled, err := fillAll(policy, request, sidecars)
	if err != nil {
		return refuse(policy.OnConflict, ReasonBadParameter, err.Error())
	}
	return inject(policy, request, filled, notes)
}

// leaveAlone finds the pods that are none of our business, in the order in which the reasons
// are documented.
func leaveAlone(policy *Policy, request *Request, q question) (Reason, bool) {
	if !request.PodCreate() {
		return ReasonNotAPodCreate, true
	}
	annotations := &request.Object.metadata().Annotations
	if _, mirror := annotations.findIn(mirrorNamespace, mirrorName); mirror {
		return ReasonMirrorPod, true
	}
	if slices.Contains(policy.IgnoredNamespaces, request.Namespace) {
		return ReasonIgnoredNamespace, true
	}
	if status, _ := annotations.findIn(policy.AnnotationNamespace, statusKey); strings.EqualFold(strings.TrimSpace(status), statusInjected) {
		return ReasonAlreadyInjected, true
	}
	if q.by == ByNobody {
		return ReasonNoAnnotation, true
	}
	if optsOut(q.asked) {
		return ReasonOptedOut, true
	}
	return "", false
}

// PodCreate tells whether the request is a CREATE of core/v1 pods and not of a subresource.
// Of any other request, the object need not look like a pod.
func (r *Request) PodCreate() bool {
	return r.Operation == "CREATE" && r.SubResource == "" && r.Resource == Resource{Version: "v1", Resource: "pods"}
}

// inject merges sidecars into the pod, all or none.
func inject(policy *Policy, request *Request, sidecars []*conf.Sidecar, notes *notes) Decision {
	if size := addedSize(request.Object.Spec, sidecars); size > mostAdded {
		return conflicting(policy, sidecars, fmt.Sprintf("they would add some %d bytes to the pod, more than an API server takes", size))
	}
	p := newPlan(policy, &request.Object, sidecars)
	p.notes = notes
	p.fill()
	if len(p.conflicts) > 0 {
		return conflicting(policy, sidecars, p.conflictText())
	}
	return Decision{
		Outcome:  Injected,
		Reason:   ReasonInjected,
		Sidecars: sidecars,
		Patch:    p.encode(),
	}
}

func conflicting(policy *Policy, sidecars []*conf.Sidecar, why string) Decision {
	does := "does"
	if len(sidecars) > 1 {
		does = "do"
	}
	return refuse(policy.OnConflict, ReasonConflict, fmt.Sprintf("%s %s not fit this pod: %s", names(sidecars), does, why))
}
