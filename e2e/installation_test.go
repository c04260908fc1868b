package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s-sidecar-injector/e2e/cluster"
)

const (
	// home is the namespace and the release in the docs.
	home  = "sidecar-injector"
	chart = "../deploy/chart"
)

// installation is an installation of deploy/ in its own cluster, with processes for its pods.
type installation struct {
	*scene
	identity *cluster.Identity
	replicas []*cluster.Injector
	balancer *cluster.Balancer
}

// kubectl runs kubectl as the administrator, and returns its output. Warnings are errors.
func (s *scene) kubectl(args ...string) string {
	s.Helper()
	return s.run("kubectl", append([]string{"--kubeconfig=" + s.Kubeconfig, "--warnings-as-errors"}, args...)...)
}

// helm runs helm as the administrator.
func (s *scene) helm(args ...string) string {
	s.Helper()
	return s.run("helm", append([]string{"--kubeconfig=" + s.Kubeconfig}, args...)...)
}

func (s *scene) run(program string, args ...string) string {
	s.Helper()
	command := exec.CommandContext(s.Context(), filepath.Join(bin, program), args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		s.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, output, stderr.String())
	}
	return string(output)
}

// installManifests installs the manifests in a new cluster.
func installManifests(t *testing.T) *installation {
	t.Helper()
	s := newScene(t, startCluster(t))
	s.kubectl("apply", "--validate=strict", "-f", "../deploy/install.yaml")
	return s.installed()
}

// installChart installs the chart with these values in a new cluster.
func installChart(t *testing.T, values ...string) *installation {
	t.Helper()
	return installChartFrom(t, chart, values...)
}

// installChartFrom installs the chart in the directory.
func installChartFrom(t *testing.T, chart string, values ...string) *installation {
	t.Helper()
	s := newScene(t, startCluster(t))
	s.kubectl("apply", "-f", "../deploy/namespace.yaml")
	args := []string{"install", home, chart, "--namespace=" + home}
	for _, value := range values {
		args = append(args, "--set="+value)
	}
	s.helm(args...)
	return s.installed()
}

// installed returns the installation in the cluster, without replicas.
func (s *scene) installed() *installation {
	s.Helper()
	id, err := s.Identity(s.Context(), home, home)
	must(s.T, err)
	return &installation{scene: s, identity: id}
}

// pods waits until the Deployment has created its pods, which the namespace's Pod Security must admit.
func (i *installation) pods(want int) []corev1.Pod {
	i.Helper()
	var pods []corev1.Pod
	i.await("the pods of the Deployment", func() error {
		list, err := i.client().CoreV1().Pods(home).List(i.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		if pods = list.Items; len(pods) != want {
			return fmt.Errorf("got %d", len(pods))
		}
		return nil
	})
	return pods
}

// start starts a process for each pod concurrently, with the identity of the manifests, and balances
// the Service between them.
func (i *installation) start(pods []corev1.Pod, flags ...string) {
	i.Helper()
	i.replicas = make([]*cluster.Injector, len(pods))
	var group sync.WaitGroup
	for n := range pods {
		group.Go(func() {
			replica, err := i.StartReplica(i.Context(), &pods[n], i.identity, flags...)
			if err != nil {
				i.Error(err)
				return
			}
			i.replicas[n] = replica
		})
	}
	group.Wait()
	if i.Failed() {
		i.FailNow()
	}
	i.Cleanup(i.kill)
	for _, replica := range i.replicas {
		must(i.T, replica.AwaitReady(i.Context()))
	}
	i.balance()
}

func (i *installation) kill() {
	for _, replica := range i.replicas {
		replica.Kill()
		if i.Failed() {
			i.Logf("log of a replica, without skips:\n%s", withoutSkips(replica.Log))
		}
	}
}

// balance replaces kube-proxy.
func (i *installation) balance() {
	i.Helper()
	service, err := i.client().CoreV1().Services(home).Get(i.Context(), home, metav1.GetOptions{})
	must(i.T, err)
	address := net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(int(service.Spec.Ports[0].Port)))
	i.balancer, err = cluster.Balance(context.WithoutCancel(i.Context()), address, i.replicas...)
	must(i.T, err)
	i.Cleanup(i.balancer.Stop)
}

// awaitInjection waits until pods get the sample sidecar.
func (i *installation) awaitInjection() {
	i.Helper()
	i.awaitContainers("greeter:v1", "app,greeter")
}

// creations creates pods continuously.
type creations struct {
	*scene
	stop   context.CancelFunc
	group  sync.WaitGroup
	made   atomic.Int64
	failed chan error
}

// createPods starts to create pods that request the sample, without a pause, and records pods that fail
// or do not have it.
func (s *scene) createPods() *creations {
	ctx, stop := context.WithCancel(s.Context())
	c := &creations{scene: s, stop: stop, failed: make(chan error, 1000)}
	for range 3 {
		c.group.Go(func() {
			for ctx.Err() == nil {
				c.create(ctx)
			}
		})
	}
	s.Cleanup(func() { c.end() })
	return c
}

func (c *creations) create(ctx context.Context) {
	p := pod("", "greeter:v1")
	p.GenerateName = "constant-"
	stored, err := c.client().CoreV1().Pods(c.namespace).Create(ctx, p, dryRun())
	switch {
	case ctx.Err() != nil:
		return
	case err == nil && containers(stored) != "app,greeter":
		err = errors.New("the pod has " + containers(stored))
	}
	c.made.Add(1)
	if err != nil {
		select {
		case c.failed <- fmt.Errorf("at %s: %w", time.Now().Format(time.TimeOnly), err):
		default:
		}
	}
}

func (c *creations) end() {
	c.stop()
	c.group.Wait()
}

// check stops the creations, and fails the test if one has failed.
func (c *creations) check() {
	c.Helper()
	c.end()
	close(c.failed)
	count := 0
	for err := range c.failed {
		if count++; count <= 5 {
			c.Errorf("creating a pod failed %v", err)
		}
	}
	c.Logf("%d pods were created, and %d creations failed", c.made.Load(), count)
	if c.made.Load() < 100 {
		c.Errorf("only %d pods were created", c.made.Load())
	}
}
