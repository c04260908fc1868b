package mutate

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// nodePort is a port of the node that a container uses. Like the API server, it compares addresses
// as text.
type nodePort struct {
	number   int32
	protocol corev1.Protocol
	ip       string
	// alone is the container if it never runs together with others, and nil otherwise. Such a
	// container can only conflict with itself.
	alone *container
}

// portUser is the first container that uses a nodePort.
type portUser struct {
	container *container
	hostPort  bool // the port has a hostPort, other than a port that only hostNetwork exposes
}

// findPortConflicts looks for ports of the node that two containers use. With hostNetwork, the API
// server makes every port a port of the node.
func (p *plan) findPortConflicts() {
	hostNetwork := p.usesHostNetwork()
	users := make(map[nodePort]portUser)
	for _, c := range p.containers {
		for _, port := range c.ports() {
			if hostNetwork {
				p.checkHostPort(c, port)
			}
			used := c.nodePort(port, hostNetwork)
			if used.number == 0 {
				continue
			}
			next := portUser{container: c, hostPort: port.HostPort != 0}
			if first, found := users[used]; found {
				p.checkPortUsers(used, first, next)
			} else {
				users[used] = next
			}
		}
	}
}

// usesHostNetwork reports whether the resulting pod has hostNetwork.
func (p *plan) usesHostNetwork() bool {
	return p.spec.HostNetwork || p.scalars[hostNetwork].by != nil
}

// ports returns the ports of the container that may conflict on the node.
func (c *container) ports() []corev1.ContainerPort {
	if c.received == nil {
		return c.injected.Ports
	}
	return c.received.Ports
}

// nodePort returns the port of the node for a port of the container. Its number is 0 if there is none.
func (c *container) nodePort(port corev1.ContainerPort, hostNetwork bool) nodePort {
	used := nodePort{number: port.HostPort, protocol: cmp.Or(port.Protocol, corev1.ProtocolTCP), ip: port.HostIP}
	if hostNetwork {
		used.number = cmp.Or(port.HostPort, port.ContainerPort)
	}
	if c.runsAlone() {
		used.alone = c
	}
	return used
}

// checkHostPort finds a hostPort that differs from the containerPort, which hostNetwork does not
// allow. The API server does not check init containers other than native sidecars.
func (p *plan) checkHostPort(c *container, port corev1.ContainerPort) {
	caused := c.injected != nil || p.scalars[hostNetwork].by != nil
	if caused && !c.runsAlone() && port.HostPort != 0 && port.HostPort != port.ContainerPort {
		p.conflict("with hostNetwork, hostPort %d of container %s must equal its containerPort %d",
			port.HostPort, quoted(c.name), port.ContainerPort)
	}
}

// checkPortUsers reports two users of one port, unless the pod as received has both.
func (p *plan) checkPortUsers(port nodePort, first, second portUser) {
	bothReceived := first.container.injected == nil && second.container.injected == nil
	if bothReceived && (first.hostPort && second.hostPort || p.scalars[hostNetwork].by == nil) {
		return
	}
	text := quoted(fmt.Sprintf("%d/%s", port.number, port.protocol))
	if first.container == second.container {
		p.conflict("container %s uses port %s of the node twice", quoted(first.container.name), text)
		return
	}
	p.conflict("containers %s and %s both use port %s of the node",
		quoted(first.container.name), quoted(second.container.name), text)
}

// runsAlone reports whether the container is a received init container that ends before the next
// one starts, which a native sidecar (KEP-753) does not. Load rejects ports of injected ones.
func (c *container) runsAlone() bool {
	return c.received != nil && c.list == initContainersList && c.received.RestartPolicy != "Always"
}
