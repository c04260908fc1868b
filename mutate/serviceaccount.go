package mutate

import (
	"cmp"

	"k8s-sidecar-injector/conf"
)

const (
	// defaultAccount is the service account that the API server sets if a pod has none.
	defaultAccount = "default"
	// tokenPath is where the ServiceAccount admission plugin mounts the token, unless a container
	// mounts something else there.
	tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount" //nolint:gosec // a path, not a credential
)

// setServiceAccount sets the service account of a pod that has none. The API server has already
// mounted the token of the default account. The mounts are removed, so that the ServiceAccount
// plugin, which runs again after the webhooks, mounts the right token. With
// automountServiceAccountToken: false the mounts belong to the author of the pod and stay.
func (p *plan) setServiceAccount(s *conf.Sidecar) {
	if s.ServiceAccountName == "" || !p.record(s, nil, "serviceAccountName", s.ServiceAccountName, p.checkAccount(s)) {
		return
	}
	p.account = s
	automount := p.spec.AutomountToken == nil || *p.spec.AutomountToken
	for _, c := range p.containers[:p.received] {
		c.removesToken = automount
	}
}

func (p *plan) checkAccount(s *conf.Sidecar) omission {
	wanted, received := s.ServiceAccountName, p.spec.account()
	switch {
	case wanted == defaultAccount:
		return omission{text: defaultIsImplied}
	case received == wanted:
		return omission{text: podHasIt}
	case received != defaultAccount:
		return omission{text: podHasAnother}
	case p.account == nil:
		return omission{}
	case p.account.ServiceAccountName == wanted:
		return omission{text: sidecarAddsIt, by: p.account}
	}
	p.conflict("sidecars %s and %s have different service accounts, %q and %q",
		p.account.Ref, s.Ref, p.account.ServiceAccountName, wanted)
	return omission{text: sidecarAddsOther, by: p.account}
}

// account returns the service account of the pod as received.
func (s *Spec) account() string {
	alias := ""
	if s.ServiceAccount != nil {
		alias = *s.ServiceAccount
	}
	return cmp.Or(s.ServiceAccountName, alias, defaultAccount)
}

// removes reports whether a received mount is removed.
func (c *container) removes(m *Mount) bool {
	return c.removesToken && m.MountPath == tokenPath
}

// removeTokenVolumes removes the volumes of the removed mounts, unless something else uses them.
func (p *plan) removeTokenVolumes() {
	if p.account == nil {
		return
	}
	unused := make(map[string]bool)
	for _, c := range p.containers {
		for i := range c.receivedMounts {
			if m := &c.receivedMounts[i]; c.removes(m) {
				unused[m.Name] = true
			}
		}
	}
	for _, c := range p.containers {
		for _, volume := range c.mounts.received {
			delete(unused, volume.Name)
		}
		for i := range c.mounts.added {
			delete(unused, c.mounts.added[i].name)
		}
	}
	for i, volume := range p.spec.Volumes {
		if unused[volume.Name] {
			p.removed = append(p.removed, i)
		}
	}
}
