package inspect

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/mutate"
	"k8s-sidecar-injector/store"
)

// State is the state of a sidecar in a pod.
type State string

// The states.
const (
	// Current means that the next pod would get the same definition.
	Current State = "current"
	// Outdated means that the next pod would get another definition.
	Outdated State = "outdated"
	// Missing means that the pod requests the sidecar and does not have it, and that the next pod would get it.
	Missing State = "missing"
	// Removed means that the pod has the sidecar, and that it is not served or not requested any more.
	Removed State = "removed"
	// Refused means that the sidecar is requested, and that the next pod would not get it.
	Refused State = "refused"
)

// finding is the state of one sidecar in a pod. It is comparable.
type finding struct {
	sidecar string
	state   State
	reason  mutate.Reason // only if it is refused
	running string        // digest; empty if the pod does not have the sidecar, or an unknown version
	served  string        // digest; empty if it is not served
}

// assessor compares pods with the pods that the injector would make of them now.
type assessor struct {
	snapshot *store.Snapshot
	policy   *mutate.Policy
	defaults map[string]string // requests of namespaces
	// lastValidUnknown is that of Query.
	lastValidUnknown bool
}

// assessment is what an assessor finds in one pod.
type assessment struct {
	*assessor
	injected bool
	object   mutate.Object // as stored
	decision mutate.Decision
	running  []mutate.Injection
	wanted   []conf.Ref
}

// concerns reports whether the pod was injected or may request sidecars.
func (a *assessor) concerns(m *podMetadata) bool {
	_, requests := m.Annotations[a.policy.RequestAnnotation()]
	_, isDefault := a.defaults[m.Namespace]
	return requests || isDefault || m.Annotations[a.policy.InjectedAnnotation()] != ""
}

// assess returns the findings for a pod, and a function that returns the message about each of them.
func (a *assessor) assess(
	m *podMetadata, object jsontext.Value,
) (findings []finding, message func(finding) string) {
	p := &assessment{assessor: a, running: mutate.ParseInjections(m.Annotations[a.policy.InjectedAnnotation()])}
	p.injected = len(p.running) > 0 || a.policy.IsInjected(m.Annotations)
	p.decide(m, object)
	var err error
	if p.wanted, err = mutate.ParseRequest(p.decision.Request); err != nil {
		findings = append(findings, finding{
			sidecar: shortened(p.decision.Request), state: Refused, reason: p.decision.Reason,
		})
	}
	for _, injection := range p.running {
		findings = append(findings, p.ofRunning(injection))
	}
	for _, ref := range p.wanted {
		if !slices.ContainsFunc(p.running, func(i mutate.Injection) bool { return i.Ref == ref }) {
			findings = append(findings, p.ofWanted(ref))
		}
	}
	return findings, p.message
}

// message returns why a sidecar is refused or removed, or "".
func (p *assessment) message(f finding) string {
	isRequested := slices.ContainsFunc(p.wanted, func(ref conf.Ref) bool { return ref.String() == f.sidecar })
	switch {
	case f.state == Refused, f.state == Removed && isRequested:
		return p.decision.Message()
	case f.state == Removed:
		return "the pod does not request it any more"
	}
	return ""
}

// shortened shortens the text of a user.
func shortened(text string) string {
	const most = 80
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// decide decides about the next pod. The API server sends it without a generated name. What is decided about the
// elements of an injected pod cannot be known, because those of the sidecars are not marked.
func (p *assessment) decide(m *podMetadata, object jsontext.Value) {
	request := &mutate.Request{
		Operation: "CREATE", Resource: mutate.Resource{Version: "v1", Resource: "pods"}, Namespace: m.Namespace,
		NamespaceDefault: func() (string, bool, error) {
			value, found := p.defaults[m.Namespace]
			return value, found, nil
		},
	}
	if err := request.SetObject(object); err != nil {
		p.decision = mutate.Decision{Outcome: mutate.Denied, Reason: mutate.ReasonBadReview, Cause: err}
		p.decision.Request = m.Annotations[p.policy.RequestAnnotation()]
		return
	}
	p.object = request.Object
	if stored := request.Object.Metadata; stored != nil && stored.GenerateName != "" {
		stored.Name = ""
	}
	if p.injected && p.hasSidecars() {
		withoutElements(request, p.policy)
	}
	p.decision = mutate.Pod(p.snapshot, p.policy, request)
}

// hasSidecars reports whether the pod has sidecars. The original injector does not name them in an annotation, and
// users set the other one to keep pods from being injected.
func (p *assessment) hasSidecars() bool {
	if len(p.running) > 0 {
		return true
	}
	refs, _ := mutate.ParseRequest(p.object.Metadata.Annotations[p.policy.RequestAnnotation()])
	return slices.ContainsFunc(refs, func(ref conf.Ref) bool {
		s := p.snapshot.Sidecar(ref)
		return s != nil && p.object.HasContainersOf(s)
	})
}

// withoutElements removes the mark of an injected pod, and the elements that sidecars may have added.
func withoutElements(request *mutate.Request, policy *mutate.Policy) {
	delete(request.Object.Metadata.Annotations, policy.StatusAnnotation())
	if request.Object.Spec != nil {
		rest := *request.Object.Spec
		rest.InitContainers, rest.Containers, rest.Volumes = nil, nil, nil
		request.Object.Spec = &rest
	}
}

// refusal returns the reason why the next pod would not get a sidecar, or "". Conflicts of an injected pod are unknown,
// and so is the decision if the injector may serve all sidecars.
func (p *assessment) refusal(f *finding) mutate.Reason {
	switch reason := p.decision.Reason; {
	case p.decision.Outcome == mutate.Injected,
		reason == mutate.ReasonConflict && len(p.running) > 0,
		reason == mutate.ReasonUnknownSidecar && f.served != "" && !slices.ContainsFunc(p.wanted, p.isUnknown):
		return ""
	default:
		return reason
	}
}

// isUnknown reports whether the injector does not serve a ref.
func (p *assessment) isUnknown(ref conf.Ref) bool {
	return p.snapshot.Sidecar(ref) == nil && (!p.lastValidUnknown || !p.isRejected(ref))
}

// isRejected reports whether the definition of a ref is rejected. That of a sidecar that the pod has may be one whose
// name cannot be read.
func (p *assessment) isRejected(ref conf.Ref) bool {
	isRunning := slices.ContainsFunc(p.running, func(i mutate.Injection) bool { return i.Ref == ref })
	for rejection := range p.snapshot.Rejections() {
		if rejection.Ref == ref || rejection.Ref == (conf.Ref{}) && p.lastValidUnknown && isRunning {
			return true
		}
	}
	return false
}

// ofRunning returns the finding for a sidecar that the pod has.
func (p *assessment) ofRunning(injection mutate.Injection) finding {
	f := p.newFinding(injection.Ref)
	f.running = strings.Clone(injection.Digest)
	switch reason := p.refusal(&f); {
	case !slices.Contains(p.wanted, injection.Ref), f.served == "" && !p.isRejected(injection.Ref):
		f.state = Removed
	case reason != "":
		f.state, f.reason = Refused, reason
	case f.served == f.running:
		f.state = Current
	default:
		f.state = Outdated
	}
	return f
}

// ofWanted returns the finding for a requested sidecar that the pod does not have, or has in an unknown version.
func (p *assessment) ofWanted(ref conf.Ref) finding {
	f := p.newFinding(ref)
	switch reason := p.refusal(&f); {
	case reason != "":
		f.state, f.reason = Refused, reason
	case p.injected && len(p.running) == 0:
		f.state = Outdated
	default:
		f.state = Missing
	}
	return f
}

func (p *assessment) newFinding(ref conf.Ref) finding {
	f := finding{sidecar: ref.String()}
	if s := p.snapshot.Sidecar(ref); s != nil {
		f.served = mutate.ShortDigest(s)
	}
	return f
}
