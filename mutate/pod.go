package mutate

import (
	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

// Pod decides about one request. It does not change its arguments, and the same arguments return
// the same bytes. It is safe for concurrent use.
func Pod(snapshot *store.Snapshot, policy *Policy, request *Request) Decision {
	r := review{snapshot: snapshot, policy: policy, request: request}
	r.run()
	return r.decision
}

// review is a request on its way to a decision.
type review struct {
	snapshot *store.Snapshot
	policy   *Policy
	request  *Request
	explain  bool // keep the results of merging

	decision Decision
	sidecars []*conf.Sidecar
	plan     plan     // empty unless the sidecars were merged
	details  *details // nil until readDetails is called
}

// run runs the stages of the review. The first stage that returns a reason ends the review without
// an injection; its error is the cause, or nil if the reason says enough. The order is that of docs/reasons.md. Also,
// the details of the pod are needed to fill parameters, and filled sidecars to merge them.
func (r *review) run() {
	r.decision.Generation = r.snapshot.Generation()
	// The log shows the pod's own request, even if the pod turns out to be ineligible.
	if own, found := r.request.Object.metadata().Annotations[r.policy.RequestAnnotation()]; found {
		r.decision.Request, r.decision.RequestedBy = own, SourcePod
	}
	if reason := r.checkEligible(); reason != "" {
		r.end(reason, nil)
		return
	}
	if r.policy.IsInjected(r.request.Object.metadata().Annotations) {
		r.decision.Repeated = true
		r.complete()
		return
	}
	for _, stage := range []func(*review) (Reason, error){
		(*review).warnOfAnnotations,
		(*review).findRequest,
		(*review).resolveRefs,
		(*review).checkAllowed,
		(*review).checkCopy,
		(*review).checkDetails,
		(*review).applyParameters,
		(*review).mergeSidecars,
		(*review).checkConflicts,
		(*review).warnOfMismatches,
		(*review).warnOfJob,
	} {
		if reason, cause := stage(r); reason != "" {
			r.end(reason, cause)
			return
		}
	}
	if r.decision.RequestedBy == SourceNamespace {
		r.inject(ReasonNamespaceDefault)
	} else {
		r.inject(ReasonInjected)
	}
}

// findRequest uses the default of the namespace if the pod has no request of its own.
func (r *review) findRequest() (Reason, error) {
	d := &r.decision
	if d.RequestedBy == SourceNone && r.request.NamespaceDefault != nil {
		value, found, err := r.request.NamespaceDefault()
		if err != nil {
			return ReasonNamespaceUnavailable,
				&namespaceUnavailableError{r.policy.RequestAnnotation(), r.request.Namespace, err}
		}
		if found {
			d.Request, d.RequestedBy = value, SourceNamespace
		}
	}
	switch {
	case d.RequestedBy == SourceNone:
		return ReasonNoAnnotation, nil
	case optsOut(d.Request):
		return ReasonOptedOut, nil
	}
	return "", nil
}

// resolveRefs finds the requested sidecars.
func (r *review) resolveRefs() (Reason, error) {
	refs, err := parseRefs(r.decision.Request)
	if err != nil {
		return ReasonBadRequest, err
	}
	if r.sidecars, err = resolve(r.snapshot, refs); err != nil {
		return ReasonUnknownSidecar, err
	}
	return "", nil
}

// checkAllowed applies the restrictions in the definitions. One restricted sidecar keeps all of
// them from being injected.
func (r *review) checkAllowed() (Reason, error) {
	for _, s := range r.sidecars {
		if !s.Allows(r.request.Namespace) {
			return ReasonNotAllowed, &notAllowedError{s.Ref, r.request.Namespace}
		}
	}
	spec := r.request.Object.Spec // may be nil
	for _, s := range r.sidecars {
		if s.SkipHostNetworkPods && spec != nil && spec.HostNetwork {
			return ReasonHostNetwork, &hostNetworkError{s.Ref}
		}
	}
	os := spec.operatingSystem()
	for _, s := range r.sidecars {
		if os != "" && s.OS != conf.AnyOS && s.OS != os {
			return ReasonOtherOS, &otherOSError{s.Ref, s.OS, os}
		}
	}
	job := spec.runsToCompletion()
	for _, s := range r.sidecars {
		if job && s.InJobs == conf.InJobsSkip {
			return ReasonJob, &jobError{s.Ref}
		}
	}
	return "", nil
}

// checkCopy skips a copy of an injected pod that lost its annotations, as `kubectl debug --copy-to` makes it, unless
// the pod requests the sidecars itself.
func (r *review) checkCopy() (Reason, error) {
	if r.decision.RequestedBy != SourceNamespace {
		return "", nil
	}
	for _, s := range r.sidecars {
		if spec := r.request.Object.Spec; hasContainersOf(spec, s) || hasContainersOf(spec, s.ForJobs()) {
			return ReasonAlreadyInjected, &copyError{s.Ref}
		}
	}
	return "", nil
}

// applyParameters replaces r.sidecars that have parameters by sidecars with the values for this pod.
func (r *review) applyParameters() (Reason, error) {
	f := parameterSource{
		policy: r.policy, request: r.request, details: r.details, sidecars: r.sidecars, explain: r.explain,
	}
	err := f.fillAll()
	r.decision.Parameters = f.values
	if err != nil {
		return ReasonBadParameter, err
	}
	return "", nil
}

// mergeSidecars applies the merge rules.
func (r *review) mergeSidecars() (Reason, error) {
	if r.request.Object.Spec.runsToCompletion() {
		for i, s := range r.sidecars {
			r.sidecars[i] = s.ForJobs()
		}
	}
	r.plan = newPlan(r.policy, &r.request.Object, r.details, r.sidecars)
	r.plan.explain = r.explain
	r.plan.merge()
	return "", nil
}

// checkConflicts ends the review if the resulting pod would be invalid.
func (r *review) checkConflicts() (Reason, error) {
	r.plan.findConflicts()
	if r.plan.conflicts.found() {
		return ReasonConflict, newConflictError(r.sidecars, r.plan.conflicts)
	}
	return "", nil
}

// inject ends the review with a patch.
func (r *review) inject(reason Reason) {
	d := &r.decision
	d.Outcome, d.Reason = Injected, reason
	d.Sidecars, d.Patch = r.sidecars, r.plan.encode()
}

// end ends the review without an injection.
func (r *review) end(reason Reason, cause error) {
	d := &r.decision
	d.Outcome, d.Reason, d.Cause = Skipped, reason, r.attribute(reason, cause)
	d.NotInjected = r.sidecars
	if r.policy.action(reason) == Deny {
		d.Outcome = Denied
	}
}
