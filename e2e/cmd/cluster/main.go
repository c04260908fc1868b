// Cluster runs a Kubernetes control plane with the injector attached, until it is interrupted.
// make cluster runs it in the directory e2e.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/e2e/cluster"
)

const (
	// home is the namespace of the injector's account, and definitions is the namespace of its ConfigMaps.
	home        = "sidecar-injector"
	definitions = "sidecars"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), ends()...)
	defer stop()
	if err := run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// ends returns the signals that stop the cluster, including those of a closed terminal and a broken pipe.
// Under nohup the cluster outlives its terminal.
func ends() []os.Signal {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// run runs the cluster with all files in one directory, which it removes at the end.
func run(ctx context.Context) error {
	if err := cluster.CheckPrograms(".bin"); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sidecar-injector-cluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Println("Starting etcd, kube-apiserver, kube-controller-manager and the injector ...")
	c, err := cluster.Start(ctx, ".bin", dir)
	if err != nil {
		return err
	}
	defer c.Stop()
	injector, err := attach(ctx, c)
	if err != nil {
		return err
	}
	defer injector.Kill()
	hint(c, injector)
	select {
	case <-ctx.Done():
		fmt.Println("\nStopping and removing all files.")
		return nil
	case err := <-watchdog(append(c.Processes(), injector.Process)):
		return err
	}
}

// watchdog returns a channel with the error of the first process that exits unexpectedly.
func watchdog(processes []*cluster.Process) <-chan error {
	ended := make(chan error, len(processes))
	for _, p := range processes {
		go func() { ended <- p.Wait() }()
	}
	return ended
}

// attach starts the injector with exactly the rights that it needs, and registers it.
func attach(ctx context.Context, c *cluster.Cluster) (*cluster.Injector, error) {
	for _, name := range []string{home, definitions} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := c.Client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return nil, err
		}
	}
	if err := c.AddAccount(ctx, home, home); err != nil {
		return nil, err
	}
	if err := c.Grant(ctx, definitions, home, home); err != nil {
		return nil, err
	}
	identity, err := c.Identity(ctx, home, home)
	if err != nil {
		return nil, err
	}
	if err := addSample(ctx, c); err != nil {
		return nil, err
	}
	flags := []string{"--configmap-labels=app=k8s-sidecar-injector", "--configmap-namespace=" + definitions}
	if err := c.AddInstallation(ctx, home, home, flags); err != nil {
		return nil, err
	}
	injector, err := c.StartInjector(ctx, append(flags, "--kubeconfig="+identity.Kubeconfig)...)
	if err != nil {
		return nil, err
	}
	if err := injector.AwaitReady(ctx); err != nil {
		return nil, err
	}
	return injector, register(ctx, c, injector)
}

func register(ctx context.Context, c *cluster.Cluster, injector *cluster.Injector) error {
	err := c.Register(ctx, injector, metav1.NamespaceDefault, func(webhook *admissionregistrationv1.MutatingWebhook) {
		webhook.NamespaceSelector = nil
		webhook.MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "asks", Expression: cluster.Asks}}
	})
	if err != nil {
		return err
	}
	if err := c.RegisterWorkloads(ctx, injector); err != nil {
		return err
	}
	return c.RegisterValidating(ctx, injector, definitions, map[string]string{"app": "k8s-sidecar-injector"})
}

// addSample creates a ConfigMap with a first sidecar.
func addSample(ctx context.Context, c *cluster.Cluster) error {
	content, err := os.ReadFile("sample/greeter.yaml")
	if err != nil {
		return err
	}
	configMap := new(corev1.ConfigMap)
	if err := yaml.UnmarshalStrict(content, configMap); err != nil {
		return err
	}
	_, err = c.Client.CoreV1().ConfigMaps(definitions).Create(ctx, configMap, metav1.CreateOptions{})
	return err
}

// hint prints commands to try.
func hint(c *cluster.Cluster, injector *cluster.Injector) {
	programs, err := filepath.Abs(".bin")
	if err != nil {
		programs = ".bin"
	}
	fmt.Printf(`
  The cluster is up. In another window:

    export KUBECONFIG=%[1]s
    export PATH=%[2]s:$PATH        # for kubectl and k8s-sidecar-injector

  docs/tutorial.md continues from here, in an empty directory. Or try these commands in the root of the repository.

  Create a Deployment that requests a sidecar, and list its pods. They do not run, because there is no kubelet:

    kubectl apply -f e2e/sample/web.yaml
    kubectl get pods -o custom-columns='POD:.metadata.name,CONTAINERS:.spec.containers[*].name,`+
		`IMAGES:.spec.containers[*].image'

  Change the sidecar, for example its image, and create new pods. Invalid changes are denied with the reason:

    kubectl -n %[3]s edit configmap greeter
    kubectl delete pods --all

  The command check reports 2 failures, replicas-ready and webhook-configurations, because the injector runs outside the
  cluster.

  Log of the injector: %[4]s
  Ctrl-C stops the cluster and removes all files.

`, c.Kubeconfig, programs, definitions, injector.Log)
}
