package mutate

import (
	"cmp"
	"strconv"

	"k8s-sidecar-injector/conf/params"
)

// securityContext is the view of the security context of a pod or container. A container has no fsGroup.
type securityContext struct {
	RunAsUser  *int64 `json:"runAsUser"`
	RunAsGroup *int64 `json:"runAsGroup"`
	FSGroup    *int64 `json:"fsGroup"`
}

// securityField returns a field of the security context. As in Kubernetes, that of the first container overrides that
// of the pod.
func (d *details) securityField(field params.PodField) (value string, found bool) {
	if d == nil {
		return "", false
	}
	var pod, own securityContext
	if d.Spec.SecurityContext != nil {
		pod = d.Spec.SecurityContext.securityContext
	}
	if first := d.container(""); first != nil {
		own = first.SecurityContext
	}
	id := map[params.PodField]*int64{
		params.PodRunAsUser:  cmp.Or(own.RunAsUser, pod.RunAsUser),
		params.PodRunAsGroup: cmp.Or(own.RunAsGroup, pod.RunAsGroup),
		params.PodFSGroup:    pod.FSGroup,
	}[field]
	if id == nil {
		return "", false
	}
	return strconv.FormatInt(*id, 10), true
}
