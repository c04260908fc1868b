package mutate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// runsToCompletion reports whether a pod ends when its containers have exited, as the pods of Jobs do. If
// restartPolicy is absent, the API server sets it to Always.
func (s *Spec) runsToCompletion() bool {
	return s != nil && (s.RestartPolicy == corev1.RestartPolicyOnFailure || s.RestartPolicy == corev1.RestartPolicyNever)
}

// warnOfJob warns that injected containers keep the pod running. It never ends a review.
func (r *review) warnOfJob() (Reason, error) {
	p := &r.plan
	if !p.spec.runsToCompletion() || len(p.prependContainers)+len(p.appendContainers) == 0 {
		return "", nil
	}
	running := slices.Concat(p.prependContainers, p.appendContainers)
	var names []string
	for _, c := range running[:min(len(running), maxListed)] {
		names = append(names, fmt.Sprintf("%s of sidecar %s", c.name, c.by.Ref))
	}
	if more := len(running) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	r.decision.Warnings = append(r.decision.Warnings, fmt.Sprintf("the pod does not complete while these containers run: "+
		"%s; inJobs in a definition can change this", strings.Join(names, ", ")))
	return "", nil
}
