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
	decision := decide(snapshot, policy, request)
	decision.attribute(policy, request)
	decision.Generation = snapshot.Generation()
	return decision
}

func decide(snapshot *store.Snapshot, policy *Policy, request *Request) Decision {
	if reason, leave := leaveAlone(policy, request); leave {
		return skip(reason)
	}
	asked, by := request.ask(policy)
	ref, err := conf.ParseRef(asked)
	if err != nil {
		return refuse(policy.OnUnknown, ReasonBadRequest, fmt.Sprintf("%s: %s is not a sidecar: want name or name:version, of letters, digits, '-', '_' and '.', each up to 63",
			request.annotation(policy, by), quoted(asked)))
	}
	sidecar := snapshot.Sidecar(ref)
	if sidecar == nil {
		return refuse(policy.OnUnknown, ReasonUnknownSidecar, fmt.Sprintf("%s: there is no sidecar %s%s",
			request.annotation(policy, by), quoted(ref.String()), alternatives(snapshot, ref)))
	}
	return inject(policy, request, sidecar)
}

// alternatives helps somebody who named a sidecar that does not exist: usually the version is
// wrong or missing.
func alternatives(snapshot *store.Snapshot, wanted conf.Ref) string {
	const most = 3
	var names []string
	for sidecar := range snapshot.Sidecars() {
		if sidecar.Ref.Name == wanted.Name && len(names) < most {
			names = append(names, sidecar.Ref.String())
		}
	}
	if names == nil {
		return ": check the name, or ask your operator"
	}
	return ", but there is " + strings.Join(names, ", ")
}

// leaveAlone finds the pods that are none of our business, in the order in which the reasons
// are documented.
func leaveAlone(policy *Policy, request *Request) (Reason, bool) {
	annotations := &request.Object.Metadata.Annotations
	if !request.PodCreate() {
		return ReasonNotAPodCreate, true
	}
	if _, mirror := annotations.find(mirrorNamespace, mirrorName); mirror {
		return ReasonMirrorPod, true
	}
	if slices.Contains(policy.IgnoredNamespaces, request.Namespace) {
		return ReasonIgnoredNamespace, true
	}
	if status, _ := annotations.find(policy.AnnotationNamespace, statusKey); strings.EqualFold(strings.TrimSpace(status), statusInjected) {
		return ReasonAlreadyInjected, true
	}
	asked, by := request.ask(policy)
	if by == ByNobody {
		return ReasonNoAnnotation, true
	}
	asked = strings.TrimSpace(asked)
	if asked == "" || strings.EqualFold(asked, "none") {
		return ReasonOptedOut, true
	}
	return "", false
}

// PodCreate tells whether the request is a CREATE of core/v1 pods and not of a subresource.
// Of any other request, the object need not look like a pod.
func (r *Request) PodCreate() bool {
	return r.Operation == "CREATE" && r.SubResource == "" && r.Resource == Resource{Version: "v1", Resource: "pods"}
}

// inject merges a sidecar into the pod.
func inject(policy *Policy, request *Request, sidecar *conf.Sidecar) Decision {
	if size := addedSize(request.Object.Spec, sidecar); size > mostAdded {
		return conflicting(policy, sidecar, fmt.Sprintf("its env and mounts would add some %d bytes to the pod's containers, more than an API server takes", size))
	}
	p := newPlan(&request.Object, sidecar)
	p.setServiceAccount(sidecar)
	p.addContainers(sidecar)
	p.addVolumes(sidecar)
	p.addMounts(sidecar)
	p.addEnv(sidecar)
	p.dropVolumes()
	p.setHost(sidecar)
	p.findConflicts(sidecar)
	if len(p.conflicts) > 0 {
		return conflicting(policy, sidecar, p.conflictText())
	}
	return Decision{
		Outcome:  Injected,
		Reason:   ReasonInjected,
		Sidecars: []*conf.Sidecar{sidecar},
		Patch:    p.encode(policy, sidecar),
	}
}

func conflicting(policy *Policy, sidecar *conf.Sidecar, why string) Decision {
	return refuse(policy.OnConflict, ReasonConflict, fmt.Sprintf("sidecar %s does not fit this pod: %s", sidecar.Ref, why))
}
