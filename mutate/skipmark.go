package mutate

import "k8s-sidecar-injector/conf"

// skippedPrefix is what the value of the status annotation of a skipped pod begins with. The reason follows it.
const skippedPrefix = "skipped: "

// SkipPatch returns a JSON Patch that sets the status annotation of a pod that requests sidecars and is skipped by
// this decision. It shows other admission policies that the injector has reviewed the pod. It is nil for other
// decisions, if the pod already has the annotation, and if an API server would reject the pod for the size of its
// annotations.
func (p *Policy) SkipPatch(object *Object, d *Decision) []byte {
	if d.Outcome != Skipped || d.RequestedBy == SourceNone || !isMarked(d.Reason) {
		return nil
	}
	received := object.metadata().Annotations
	key, value := p.StatusAnnotation(), skippedPrefix+string(d.Reason)
	if p.IsInjected(received) || received[key] == value || received.size()+len(key)+len(value) > conf.MostAnnotations {
		return nil
	}
	var w patch
	if object.Metadata == nil {
		w.add([]byte("{}"), "/metadata")
	}
	annotations := podList{field: "annotations", list: list{
		members: received, added: []addition{{Element: &conf.Element{Name: key, Value: value}}},
	}}
	annotations.encodeMap(&w, "/metadata/")
	return append(w.buffer, ']')
}

// isMarked reports whether a pod with a request is marked if it is skipped for the reason. Pods that are never injected
// stay unchanged.
func isMarked(reason Reason) bool {
	switch reason {
	case ReasonAlreadyInjected, ReasonBadRequest, ReasonUnknownSidecar, ReasonNotAllowed, ReasonHostNetwork,
		ReasonOtherOS, ReasonJob, ReasonBadParameter, ReasonConflict:
		return true
	case ReasonBadReview, ReasonNotAPodCreate, ReasonMirrorPod, ReasonIgnoredNamespace, ReasonNamespaceUnavailable,
		ReasonNoAnnotation, ReasonOptedOut, ReasonInjected, ReasonNamespaceDefault, ReasonCompleted:
	}
	return false
}
