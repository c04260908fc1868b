package mutate

import "fmt"

// Asker is whose annotation asks for sidecars.
type Asker string

// The askers. A pod that has the annotation, whatever it says, asks for itself.
const (
	ByNobody    Asker = ""
	ByPod       Asker = "pod"
	ByNamespace Asker = "namespace"
)

// question is what is asked for a pod.
type question struct {
	asked string
	by    Asker
}

// ask gives the question that applies to the pod: its own, or else that of its namespace.
func (r *Request) ask(policy *Policy) question {
	if own, found := r.Object.metadata().Annotations.findIn(policy.AnnotationNamespace, requestKey); found {
		return question{own, ByPod}
	}
	if r.Default != nil {
		return question{*r.Default, ByNamespace}
	}
	return question{by: ByNobody}
}

// annotation is the one that asks, as messages name it.
func (q question) annotation(policy *Policy, request *Request) string {
	if q.by == ByNamespace {
		return fmt.Sprintf("annotation %s of namespace %s", policy.key(requestKey), quoted(request.Namespace))
	}
	return "annotation " + policy.key(requestKey)
}

// attribute says of a decision about the default of a namespace that it is one.
func (d *Decision) attribute(policy *Policy, request *Request, q question) {
	d.Asked, d.AskedBy = q.asked, q.by
	if q.by != ByNamespace {
		return
	}
	switch d.Reason { //nolint:exhaustive // the others say it already, or need not
	case ReasonInjected:
		d.Reason = ReasonNamespaceDefault
	case ReasonHostNetwork:
		d.Message = "" // as intended: nobody asked for this pod
	case ReasonNotAllowed, ReasonBadParameter, ReasonConflict:
		d.Message = fmt.Sprintf("%s: %s", q.annotation(policy, request), d.Message)
	}
}

// Unavailable is the decision about a pod without a request of its own, when it cannot be told
// what its namespace asks for: it is admitted as it is. The generation is that of the snapshot.
func Unavailable(policy *Policy, request *Request, generation uint64, why error) Decision {
	return Decision{
		Outcome: Skipped, Reason: ReasonNamespaceUnavailable, Generation: generation,
		Message: fmt.Sprintf("the pod has no annotation %s, and whether namespace %s has it cannot be told: %v",
			policy.key(requestKey), quoted(request.Namespace), why),
	}
}
