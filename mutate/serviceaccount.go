package mutate

import (
	"cmp"

	"k8s-sidecar-injector/conf"
)

const (
	// defaultAccount is what the API server sets for a pod that names no service account.
	defaultAccount = "default"
	// tokenPath is where the API server's ServiceAccount admission plugin mounts the token,
	// unless a container mounts something there.
	tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount" //nolint:gosec // a path, not a credential
)

// setServiceAccount gives a pod that chose no service account the sidecar's. What the API
// server has mounted for the default account's token is taken away again, so that it adds the
// right one, to injected containers too: it runs that plugin again after the webhooks. With
// automountServiceAccountToken: false it has mounted nothing and will not, so that what is
// there is the author's own and stays.
func (p *plan) setServiceAccount(s *conf.Sidecar) {
	wanted := s.ServiceAccountName
	if p.notes != nil && wanted != "" {
		p.notes.account(s, p)
	}
	if wanted == "" || wanted == defaultAccount {
		return
	}
	own := p.spec.account() != defaultAccount
	switch {
	case own || p.account.name == wanted:
	case p.account.by != nil:
		p.conflict("sidecars %s and %s want different service accounts, %q and %q", p.account.by.Ref, s.Ref, p.account.name, wanted)
	default:
		p.account = account{name: wanted, by: s}
		automounts := p.spec.AutomountToken == nil || *p.spec.AutomountToken
		for i := range p.containers {
			p.containers[i].dropsToken = automounts
		}
	}
}

// account is the service account that the pod has without us.
func (s *Spec) account() string {
	alias := ""
	if s.ServiceAccount != nil {
		alias = *s.ServiceAccount
	}
	return cmp.Or(s.ServiceAccountName, alias, defaultAccount)
}

// drops tells a received mount that is taken away.
func (c *container) drops(m *Mount) bool {
	return c.dropsToken && m.MountPath == tokenPath
}

// dropVolumes takes away the volumes of the mounts that were taken away, unless something
// else mounts them. It comes last, when all mounts are known.
func (p *plan) dropVolumes() {
	unused := p.tokenVolumes()
	if len(unused) == 0 {
		return
	}
	for i := range p.containers {
		c := &p.containers[i]
		c.uses(func(volume, _ string) bool {
			delete(unused, volume)
			return false // look on
		})
		for j := range c.mounts {
			delete(unused, c.mounts[j].Name)
		}
	}
	for i, v := range p.spec.Volumes {
		if unused[v.Name] {
			p.dropped = append(p.dropped, i)
		}
	}
}

// tokenVolumes are those of which a mount was taken away: in a sane pod at most one.
func (p *plan) tokenVolumes() map[string]bool {
	var names map[string]bool
	for i := range p.containers {
		c := &p.containers[i]
		if !c.dropsToken {
			continue // injected
		}
		for j := range c.received.VolumeMounts {
			if m := &c.received.VolumeMounts[j]; c.drops(m) {
				if names == nil {
					names = make(map[string]bool)
				}
				names[m.Name] = true
			}
		}
	}
	return names
}
