package mutate

import (
	"cmp"
	"fmt"

	"k8s-sidecar-injector/conf"
)

// nodePort is a port that a container takes on its node. The API server compares the
// addresses as text, and so do we.
type nodePort struct {
	number   int32
	protocol string
	ip       string
	// alone is the container if it runs by itself, so that it can only be in its own way.
	alone *container
}

// claim is who takes a nodePort first, and whether by a hostPort of its own.
type claim struct {
	container *container
	explicit  bool
}

// findPortConflicts finds ports of the node that two containers want, and ports that cannot
// be had with hostNetwork, where the API server makes every port one of the node's.
func (p *plan) findPortConflicts() {
	hostNetwork := p.spec.HostNetwork || p.hostNetwork != nil
	var taken map[nodePort]claim // made late: few pods take any
	for i := range p.containers {
		c := &p.containers[i]
		for _, port := range c.ports() {
			if hostNetwork {
				p.findOtherPort(c, port)
			}
			wanted := c.nodePort(port, hostNetwork)
			if wanted.number == 0 {
				continue
			}
			if taken == nil {
				taken = make(map[nodePort]claim)
			}
			p.claim(taken, wanted, claim{container: c, explicit: port.HostPort != 0})
		}
	}
}

// nodePort is what the container takes of the node; its number is 0 if it takes nothing.
func (c *container) nodePort(port conf.Port, hostNetwork bool) nodePort {
	wanted := nodePort{number: port.HostPort, protocol: cmp.Or(port.Protocol, "TCP"), ip: port.HostIP}
	if hostNetwork {
		wanted.number = cmp.Or(port.HostPort, port.ContainerPort)
	}
	if c.ends() {
		wanted.alone = c
	}
	return wanted
}

// claim gives the port to the first that wants it.
func (p *plan) claim(taken map[nodePort]claim, wanted nodePort, next claim) {
	if earlier, found := taken[wanted]; found {
		p.findPortTaken(wanted, earlier, next)
		return
	}
	taken[wanted] = next
}

// findOtherPort finds a port that hostNetwork would give another number than the author
// asked for. The API server does not mind it of init containers that end.
func (p *plan) findOtherPort(c *container, port conf.Port) {
	caused := c.injected != nil || p.hostNetwork != nil
	if caused && !c.ends() && port.HostPort != 0 && port.HostPort != port.ContainerPort {
		p.conflict("with hostNetwork, hostPort %d of container %s must be its containerPort %d",
			port.HostPort, quoted(c.name()), port.ContainerPort)
	}
}

// findPortTaken reports two claims to one port, unless the pod came with both.
func (p *plan) findPortTaken(wanted nodePort, earlier, next claim) {
	cameWith := earlier.explicit && next.explicit || p.hostNetwork == nil
	if earlier.container.injected == nil && next.container.injected == nil && cameWith {
		return
	}
	port := quoted(fmt.Sprintf("%d/%s", wanted.number, wanted.protocol))
	if earlier.container == next.container {
		p.conflict("container %s wants port %s of the node twice", quoted(next.container.name()), port)
		return
	}
	p.conflict("containers %s and %s both want port %s of the node", quoted(earlier.container.name()), quoted(next.container.name()), port)
}

func (c *container) ports() []conf.Port {
	if c.injected != nil {
		return c.injected.Ports
	}
	return c.received.Ports
}

// ends tells a received init container that is over before the next one starts, other than
// native sidecars (KEP-753). Load gives an injected one no ports.
func (c *container) ends() bool {
	return c.received != nil && c.list == initContainersList && c.received.RestartPolicy != "Always"
}
