package mutate

import (
	"fmt"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
)

// complete ends the review of a pod that was injected before. With reinvocationPolicy: IfNeeded, the API server
// invokes the webhook again after other webhooks have changed the pod. Containers that were added since get the
// variables and volumeMounts of the sidecars. Nothing else is added. If the sidecars do not fit, the pod stays
// unchanged.
func (r *review) complete() {
	for _, stage := range []func(*review) (Reason, error){
		(*review).findInjected,
		(*review).checkAllowed,
		(*review).checkDetails,
		(*review).applyParameters,
		(*review).completeContainers,
	} {
		if reason, _ := stage(r); reason != "" {
			r.end(ReasonAlreadyInjected, nil)
			return
		}
	}
	if _, cause := r.checkConflicts(); cause != nil {
		r.end(ReasonAlreadyInjected, fmt.Errorf("the pod was injected before and is not completed: %w", cause))
		return
	}
	r.inject(ReasonCompleted)
}

// findInjected finds the sidecars in the injected annotation of the pod. The pod stays unchanged if one of them is not
// in service with the same digest, such as a pod from a backup, or is there twice.
func (r *review) findInjected() (Reason, error) {
	injected := r.request.Object.metadata().Annotations[r.policy.key(injectedKey)]
	for text := range strings.SplitSeq(injected, ",") {
		text, _, _ = strings.Cut(text, "@")
		ref, _ := conf.ParseRef(text) // no sidecar has the ref of an error
		sidecar := r.snapshot.Sidecar(ref)
		if sidecar == nil || slices.Contains(r.sidecars, sidecar) || len(r.sidecars) == maxSidecars {
			return ReasonAlreadyInjected, nil
		}
		r.sidecars = append(r.sidecars, sidecar)
	}
	if Injections(r.sidecars) != injected || r.valuesMayDiffer() {
		return ReasonAlreadyInjected, nil
	}
	return "", nil
}

// valuesMayDiffer reports whether a source of envFrom or a text of extendEnv may differ from that of the injection, so
// that it would be added twice: a parameter has the value of a label or annotation that the injection may have set, or
// of a security context, which may be that of another container now.
func (r *review) valuesMayDiffer() bool {
	read := make(map[string]bool) // paths of fields of the pod
	for _, s := range r.sidecars {
		if len(s.Elements("envFrom"))+len(s.Elements(extendEnv)) == 0 {
			continue
		}
		for i := range s.Parameters {
			if s.Parameters[i].From.InSecurityContext() {
				return true
			}
			read[string(s.Parameters[i].From)] = true
		}
	}
	isRead := func(path string) bool { return read[path] }
	return slices.ContainsFunc(r.addedPaths(), isRead)
}

// addedPaths returns the paths of the labels and annotations that the injection may have set.
func (r *review) addedPaths() []string {
	const labels, annotations = "pod.labels.", "pod.annotations."
	paths := []string{
		annotations + defaultContainer, annotations + r.policy.key(injectedKey), annotations + r.policy.key(statusKey),
	}
	for _, s := range r.sidecars {
		for field, path := range map[string]string{
			"labels": labels, "annotations": annotations, "extendAnnotations": annotations,
		} {
			for i := range s.Elements(field) {
				paths = append(paths, path+s.Elements(field)[i].Name)
			}
		}
	}
	return paths
}

// completeContainers applies the merge rules of containers to those that do not belong to the sidecars. It ends the
// review if there is nothing to add.
func (r *review) completeContainers() (Reason, error) {
	r.plan = newPlan(r.policy, &r.request.Object, r.details, r.sidecars)
	r.plan.explain, r.plan.completes = r.explain, true
	r.plan.removeInjected()
	r.plan.readMounts()
	r.plan.mergeContainers()
	if r.plan.size == 0 {
		return ReasonAlreadyInjected, nil
	}
	return "", nil
}

// removeInjected removes the containers of the sidecars from the plan. The injection has added to them already.
func (p *plan) removeInjected() {
	injected := make(map[string]bool)
	for _, s := range p.sidecars {
		c := s.Content()
		for _, list := range [][]conf.Container{
			c.PrependInitContainers, c.InitContainers, c.PrependContainers, c.Containers,
		} {
			for i := range list {
				injected[list[i].Name] = true
			}
		}
	}
	p.containers = slices.DeleteFunc(p.containers, func(c *container) bool { return injected[c.name] })
	p.received = len(p.containers)
}
