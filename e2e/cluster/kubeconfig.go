package cluster

import (
	"context"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubeconfig writes a kubeconfig for this cluster.
func (c *Cluster) kubeconfig(file string, user *clientcmdapi.AuthInfo) error {
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"e2e": {Server: c.URL(), CertificateAuthorityData: c.authority.pem}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"user": user},
		Contexts:       map[string]*clientcmdapi.Context{"e2e": {Cluster: "e2e", AuthInfo: "user"}},
		CurrentContext: "e2e",
	}, file)
}

// Identity is a service account with a kubeconfig.
type Identity struct {
	// Kubeconfig is the path of the kubeconfig, which uses TokenFile.
	Kubeconfig string
	// TokenFile may be rewritten while the kubeconfig is in use.
	TokenFile string

	namespace, name string
}

// Identity creates a kubeconfig for an existing service account.
func (c *Cluster) Identity(ctx context.Context, namespace, name string) (*Identity, error) {
	base := filepath.Join(c.dir, namespace+"-"+name)
	id := &Identity{Kubeconfig: base + ".kubeconfig", TokenFile: base + ".token", namespace: namespace, name: name}
	if err := c.RenewToken(ctx, id); err != nil {
		return nil, err
	}
	return id, c.kubeconfig(id.Kubeconfig, &clientcmdapi.AuthInfo{TokenFile: id.TokenFile})
}

// RenewToken writes a new token into the token file. It requests a lifetime longer than the cluster's,
// because the default is an hour.
func (c *Cluster) RenewToken(ctx context.Context, id *Identity) error {
	accounts := c.Client.CoreV1().ServiceAccounts(id.namespace)
	request, err := accounts.CreateToken(ctx, id.name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(lifetime.Seconds()))},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return os.WriteFile(id.TokenFile, []byte(request.Status.Token), 0o600)
}
