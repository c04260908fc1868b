package cluster

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// StartReplica runs the injector like a kubelet, with the pod's arguments. Only the ports differ, a
// kubeconfig replaces the mounted token, and flags are added. It waits until the injector listens, which may
// not be ready.
func (c *Cluster) StartReplica(ctx context.Context, pod *corev1.Pod, id *Identity, flags ...string) (*Injector, error) {
	ports, err := FreePorts(2)
	if err != nil {
		return nil, err
	}
	i := &Injector{
		CA:            c.authority.pem,
		TLSPort:       ports[0],
		LifecyclePort: ports[1],
		program:       c.program("k8s-sidecar-injector"),
	}
	i.Process = &Process{Log: c.file("replica-" + strings.ToLower(rand.Text()[:6]) + ".log")}
	for _, arg := range pod.Spec.Containers[0].Args {
		if name, found := strings.CutPrefix(arg, "--tls-secret="); found {
			arg = "--tls-secret=" + pod.Namespace + "/" + name
		}
		i.args = append(i.args, arg)
	}
	i.args = append(i.args,
		"--tls-port="+strconv.Itoa(ports[0]),
		"--lifecycle-port="+strconv.Itoa(ports[1]),
		"--kubeconfig="+id.Kubeconfig)
	i.args = append(i.args, flags...)
	return i, i.Start(ctx)
}

// StartEntrypoint runs the injector like the original's Deployment: as entrypoint.sh, without arguments,
// with these variables and those of its certificate and ports. It waits until the injector listens, which
// may not be ready.
func (c *Cluster) StartEntrypoint(ctx context.Context, variables ...string) (*Injector, error) {
	ports, err := FreePorts(2)
	if err != nil {
		return nil, err
	}
	name := "entrypoint-" + strings.ToLower(rand.Text()[:6])
	cert, key, err := c.authority.issue(c.dir, name)
	if err != nil {
		return nil, err
	}
	home := c.file(name)
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	program, err := filepath.Abs(c.program("k8s-sidecar-injector"))
	if err != nil {
		return nil, err
	}
	link := filepath.Join(home, "entrypoint.sh")
	if err := os.Symlink(program, link); err != nil {
		return nil, err
	}
	i := &Injector{CA: c.authority.pem, TLSPort: ports[0], LifecyclePort: ports[1], program: "env"}
	i.Process = &Process{Log: c.file(name + ".log")}
	i.args = append([]string{
		"TLS_PORT=" + strconv.Itoa(ports[0]), "LIFECYCLE_PORT=" + strconv.Itoa(ports[1]),
		"TLS_CERT_FILE=" + cert, "TLS_KEY_FILE=" + key,
	}, append(variables, link)...)
	return i, i.Start(ctx)
}
