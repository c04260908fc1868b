package mutate

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/conf/params"
)

// details is the view of the fields of a pod that only some decisions depend on. Other reviews do not decode them.
type details struct {
	Spec specDetails `json:"spec"`
}

// specDetails are the details of the spec.
type specDetails struct {
	Volumes           []jsontext.Value    `json:"volumes"`
	PriorityClassName string              `json:"priorityClassName"`
	Priority          jsontext.Value      `json:"priority"`         // nil if absent
	PreemptionPolicy  jsontext.Value      `json:"preemptionPolicy"` // nil if absent
	RuntimeClassName  string              `json:"runtimeClassName"`
	Affinity          Fields              `json:"affinity"`
	DNSConfig         *dnsConfig          `json:"dnsConfig"`
	SecurityContext   *podSecurity        `json:"securityContext"`
	InitContainers    []*containerDetails `json:"initContainers"`
	Containers        []*containerDetails `json:"containers"`
	GracePeriod       *int64              `json:"terminationGracePeriodSeconds"`
}

// dnsConfig is the view of a PodDNSConfig.
type dnsConfig struct {
	Nameservers List[string] `json:"nameservers"`
	Searches    List[string] `json:"searches"`
	Options     List[Named]  `json:"options"`
}

// podSecurity is the view of a PodSecurityContext.
type podSecurity struct {
	securityContext
	groups  List[*int64] // supplementalGroups
	sysctls List[Named]
	others  Fields // also those of the security context
}

// UnmarshalJSONFrom decodes the object.
func (s *podSecurity) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	if decoder.PeekKind() != '{' {
		return json.UnmarshalDecode(decoder, &s.others) // an error
	}
	s.others = make(Fields)
	return decodeMembers(decoder, func(key string) error {
		switch key {
		case "supplementalGroups":
			return json.UnmarshalDecode(decoder, &s.groups)
		case "sysctls":
			return json.UnmarshalDecode(decoder, &s.sysctls)
		case "runAsUser":
			return s.decodeID(decoder, key, &s.RunAsUser)
		case "runAsGroup":
			return s.decodeID(decoder, key, &s.RunAsGroup)
		case "fsGroup":
			return s.decodeID(decoder, key, &s.FSGroup)
		}
		return s.others.decodeMember(decoder, key)
	})
}

func (s *podSecurity) decodeID(decoder *jsontext.Decoder, field string, id **int64) error {
	err := json.UnmarshalDecode(decoder, id)
	if err == nil && *id != nil {
		s.others[field] = strconv.AppendInt(nil, **id, 10)
	}
	return err
}

// containerDetails are the details of a container.
type containerDetails struct {
	Name            string          `json:"name"`
	SecurityContext securityContext `json:"securityContext"`
	Env             Variables       `json:"env"`
	VolumeMounts    jsontext.Value  `json:"volumeMounts"`

	variables, mounts receivedList // empty until readLists is called
}

// container returns a container or init container by its name, or the first container if the name is empty. It returns
// nil if there is none.
func (d *details) container(name string) *containerDetails {
	if d == nil {
		return nil
	}
	for _, c := range d.Spec.Containers {
		if c != nil && (name == "" || name == c.Name) {
			return c
		}
	}
	for _, c := range d.Spec.InitContainers {
		if c != nil && name != "" && name == c.Name {
			return c
		}
	}
	return nil
}

// env returns the variables of a received container.
func (d *details) env(c *container) Variables {
	switch {
	case d == nil:
		return nil
	case c.list == initContainersList:
		return d.Spec.InitContainers[c.index].Env
	}
	return d.Spec.Containers[c.index].Env
}

// readDetails decodes the details of the pod at the first call. The syntax was checked before, so an error is about the
// type of a field, or about a name that occurs twice.
func (r *review) readDetails() (*details, error) {
	if r.details != nil || r.request.DecodeObject == nil {
		return r.details, nil
	}
	r.details = new(details)
	return r.details, r.request.DecodeObject(r.details)
}

// needsDetails reports whether merging the sidecar depends on the details of the pod.
func needsDetails(s *conf.Sidecar) bool {
	if slices.ContainsFunc(s.Parameters, func(p params.Parameter) bool { return p.From.InSecurityContext() }) ||
		len(s.Content().CopyFrom) > 0 {
		return true
	}
	fields := []string{
		extendEnv,
		"priorityClassName", "runtimeClassName", "terminationGracePeriodSeconds", "affinity",
		"dnsConfig.nameservers", "dnsConfig.searches", "dnsConfig.options",
		"podSecurityContext", "podSecurityContext.supplementalGroups", "podSecurityContext.sysctls",
	}
	return slices.ContainsFunc(fields, func(field string) bool { return len(s.Elements(field)) > 0 })
}

// checkDetails decodes the details of the pod if a sidecar needs them.
func (r *review) checkDetails() (Reason, error) {
	if !slices.ContainsFunc(r.sidecars, needsDetails) {
		return "", nil
	}
	if _, err := r.readDetails(); err != nil {
		return ReasonBadReview, fmt.Errorf("not a valid pod: %w", DecodeError(err, ""))
	}
	return "", nil
}
