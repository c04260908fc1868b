package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// startTimeout bounds the start of each part of the cluster.
const startTimeout = 2 * time.Minute

// Cluster is a control plane. Its methods are not safe for concurrent use, but Client is.
type Cluster struct {
	// Kubeconfig is the path of the kubeconfig of an administrator.
	Kubeconfig string
	// Client is the administrator's client.
	Client *kubernetes.Clientset
	// APIServer is the running process.
	APIServer *Process

	bin, dir    string
	authority   *authority
	etcd        *Process
	controllers *Process
	etcdPort    int
	peerPort    int
	port        int
}

// Start starts a cluster with the programs of make cluster-bin in directory bin, and its files in
// directory dir. It returns when the API server is ready and the default namespace has its service account.
func Start(ctx context.Context, bin, dir string) (*Cluster, error) {
	c, err := New(bin, dir)
	if err != nil {
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

// New returns a cluster that does not run yet: it has the credentials of Start, and can start injectors that need
// no API server.
func New(bin, dir string) (*Cluster, error) {
	ports, err := FreePorts(3)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		Kubeconfig: filepath.Join(dir, "kubeconfig"),
		bin:        bin,
		dir:        dir,
		etcdPort:   ports[0],
		peerPort:   ports[1],
		port:       ports[2],
	}
	return c, c.credentials()
}

func (c *Cluster) start(ctx context.Context) error {
	for _, step := range []func(context.Context) error{c.StartEtcd, c.StartAPIServer, c.startControllers, c.addNode} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return c.AwaitNamespace(ctx, metav1.NamespaceDefault)
}

// URL returns the URL of the API server.
func (c *Cluster) URL() string { return fmt.Sprintf("https://127.0.0.1:%d", c.port) }

// Config returns a new copy of the administrator's config.
func (c *Cluster) Config() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err == nil {
		config.QPS, config.Burst = 1000, 1000
	}
	return config, err
}

// Processes returns the running processes, without injectors, in the order in which they must stop.
func (c *Cluster) Processes() []*Process {
	all := []*Process{c.controllers, c.APIServer, c.etcd}
	return slices.DeleteFunc(all, func(p *Process) bool { return p == nil })
}

// Stop stops all processes and waits for them.
func (c *Cluster) Stop() {
	for _, p := range c.Processes() {
		p.Kill() // its data is not kept
	}
}

// credentials creates all keys, certificates and tokens, and the client.
func (c *Cluster) credentials() (err error) {
	if c.authority, err = newAuthority(); err != nil {
		return err
	}
	if err := os.WriteFile(c.file("ca.crt"), c.authority.pem, 0o600); err != nil {
		return err
	}
	if _, _, err := c.authority.issue(c.dir, "apiserver"); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := writeKey(c.file("accounts.key"), key); err != nil {
		return err
	}
	token := rand.Text()
	if err := os.WriteFile(c.file("tokens.csv"), []byte(token+",admin,admin,system:masters\n"), 0o600); err != nil {
		return err
	}
	if err := c.kubeconfig(c.Kubeconfig, &clientcmdapi.AuthInfo{Token: token}); err != nil {
		return err
	}
	config, err := c.Config()
	if err != nil {
		return err
	}
	config.WarningHandler = rest.NoWarnings{} // for the probes of Register
	c.Client, err = kubernetes.NewForConfig(config)
	return err
}

// StartEtcd starts etcd, with its existing data if it ran before.
func (c *Cluster) StartEtcd(ctx context.Context) (err error) {
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", c.etcdPort), fmt.Sprintf("http://127.0.0.1:%d", c.peerPort)
	c.etcd, err = start(c.file("etcd.log"), c.program("etcd"),
		"--data-dir="+c.file("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return c.etcd.await(ctx, "etcd", func(ctx context.Context) error {
		_, err := c.revision(ctx)
		return err
	})
}

// KillEtcd kills etcd.
func (c *Cluster) KillEtcd() { c.etcd.Kill() }

// StartAPIServer starts the API server, on the same port if it ran before.
func (c *Cluster) StartAPIServer(ctx context.Context) (err error) {
	flags, err := c.auditFlags()
	if err != nil {
		return err
	}
	c.APIServer, err = start(c.file("kube-apiserver.log"), c.program("kube-apiserver"), append(flags,
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", c.etcdPort),
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.port),
		"--tls-cert-file="+c.file("apiserver.crt"), "--tls-private-key-file="+c.file("apiserver.key"), "--cert-dir="+c.dir,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+c.file("accounts.key"), "--service-account-signing-key-file="+c.file("accounts.key"),
		"--token-auth-file="+c.file("tokens.csv"), "--authorization-mode=RBAC",
		"--service-cluster-ip-range="+c.serviceRange(),
		"--enable-admission-plugins=NodeRestriction", "--shutdown-delay-duration=0s")...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return c.APIServer.await(ctx, "kube-apiserver", func(ctx context.Context) error {
		return c.Client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// serviceRange returns the address range of Services. It is on loopback, so that no kube-proxy is needed,
// and differs between clusters on this machine.
func (c *Cluster) serviceRange() string {
	return fmt.Sprintf("127.%d.%d.0/24", c.port>>8, c.port&0xff)
}

// startControllers starts the controllers that create pods and service accounts, without the one that
// would evict pods from a node without a kubelet.
func (c *Cluster) startControllers(context.Context) (err error) {
	ports, err := FreePorts(1)
	if err != nil {
		return err
	}
	c.controllers, err = start(c.file("kube-controller-manager.log"), c.program("kube-controller-manager"),
		"--kubeconfig="+c.Kubeconfig, "--service-account-private-key-file="+c.file("accounts.key"),
		"--root-ca-file="+c.file("ca.crt"), "--leader-elect=false", "--use-service-account-credentials=false",
		"--controllers=*,-node-lifecycle-controller,-taint-eviction-controller,-pod-garbage-collector-controller",
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[0]), "--cert-dir="+c.dir)
	return err
}

// addNode creates a ready node, which DaemonSets need. The API server taints every new node as not ready,
// and the controller that removes the taint does not run.
func (c *Cluster) addNode(ctx context.Context) error {
	nodes := c.Client.CoreV1().Nodes()
	node, err := nodes.Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: map[string]string{corev1.LabelHostname: "node-1"}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = nodes.Patch(ctx, node.Name, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	ready := []byte(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`)
	_, err = nodes.Patch(ctx, node.Name, types.MergePatchType, ready, metav1.PatchOptions{}, "status")
	return err
}

// AwaitNamespace waits until a namespace has its service account, which pods need.
func (c *Cluster) AwaitNamespace(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return c.controllers.await(ctx, "the service account of "+namespace, func(ctx context.Context) error {
		_, err := c.Client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

func (c *Cluster) program(name string) string { return filepath.Join(c.bin, name) }

// CheckPrograms returns an error that names the missing programs of a directory.
func CheckPrograms(bin string) error {
	var missing []string
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "k8s-sidecar-injector"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return errors.New("not built yet: " + strings.Join(missing, ", ") + ": run make cluster-bin")
	}
	return nil
}

// FreePorts returns unused ports. They are below the ephemeral range of Linux (ip_local_port_range), and
// random, so that two callers hardly ever get the same port.
func FreePorts(count int) ([]int, error) {
	const first, last, attempts = 10_000, 32_000, 100
	var ports []int
	var err error
	for range attempts {
		port := first + mathrand.IntN(last-first)
		listener, listenErr := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if listenErr != nil {
			err = listenErr
			continue
		}
		defer listener.Close() // keep all ports open until each is chosen
		if ports = append(ports, port); len(ports) == count {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("find %d free ports: %w", count, err)
}
