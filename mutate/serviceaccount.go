package mutate

import "cmp"

const (
	// defaultAccount is the service account that the API server sets if a pod has none.
	defaultAccount = "default"
	// tokenPath is where the ServiceAccount admission plugin mounts the token, unless a container
	// mounts something else there.
	tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount" //nolint:gosec // a path, not a credential
)

// replaceToken removes the token mounts of a pod whose service account a sidecar sets. The API server has
// already mounted the token of the default account. The ServiceAccount plugin, which runs again after the
// webhooks, mounts the right token. With automountServiceAccountToken: false the mounts belong to the
// author of the pod and stay.
func (p *plan) replaceToken() {
	automount := p.spec.AutomountToken == nil || *p.spec.AutomountToken
	p.removesToken = automount && p.scalars[serviceAccountName].by != nil
}

// account returns the service account of the pod as received, or "" for the default account.
func (s *Spec) account() string {
	alias := ""
	if s.ServiceAccount != nil {
		alias = *s.ServiceAccount
	}
	if account := cmp.Or(s.ServiceAccountName, alias); account != defaultAccount {
		return account
	}
	return ""
}

// removes reports whether a received mount is removed.
func (p *plan) removes(m *Mount) bool {
	return p.removesToken && m.MountPath == tokenPath
}

// removeTokenVolumes removes the volumes of the removed mounts, unless something else uses them.
func (p *plan) removeTokenVolumes() {
	if !p.removesToken {
		return
	}
	unused := make(map[string]bool)
	for _, c := range p.containers {
		for _, m := range c.receivedMounts() {
			if p.removes(&m) {
				unused[m.Name] = true
			}
		}
	}
	for _, c := range p.containers {
		mounts := &c.lists[mountsList]
		for _, volume := range mounts.received {
			delete(unused, volume.Name)
		}
		for _, added := range mounts.added {
			delete(unused, added.Name)
		}
	}
	for i, volume := range p.spec.Volumes {
		if unused[volume.Name] {
			p.removed = append(p.removed, i)
		}
	}
}
