package e2e_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// TestInstall follows the docs, twice. The API server validates strictly, and the namespace enforces Pod
// Security restricted.
func TestInstall(t *testing.T) {
	t.Parallel()
	i := installManifests(t)
	again := i.kubectl("apply", "--validate=strict", "-f", "../deploy/install.yaml")
	if strings.Contains(again, "created") {
		t.Errorf("the second apply created objects:\n%s", again)
	}
	i.start(i.pods(2))
	i.awaitInjection()

	// Every feature works with the rights of the manifests.
	must(t, i.define("good", sidecar("x", "one")))
	i.awaitContainers("x", "app,one")
	err := i.define("bad", "name: bad\nnonsense: 1\n")
	if err == nil || !strings.Contains(err.Error(), "nonsense: Forbidden") {
		t.Errorf("got error %v for an invalid definition", err)
	}
	i.setBundle(nil)
	i.awaitInjection()
	must(t, i.client().CoreV1().Secrets(home).Delete(t.Context(), home+"-tls", metav1.DeleteOptions{}))
	i.await("the Secret to be created again", func() error {
		secret, err := i.client().CoreV1().Secrets(home).Get(t.Context(), home+"-tls", metav1.GetOptions{})
		if err == nil && len(secret.Data["tls.key"]) == 0 {
			err = fmt.Errorf("the Secret is empty")
		}
		return err
	})
	i.awaitInjection()

	// The sample of the docs.
	i.kubectl("apply", "--namespace="+i.namespace, "-f", "../deploy/sample.yaml")
	equal(t, "the sample's containers", containers(i.awaitPod()), "web,greeter")

	// Uninstalling leaves nothing.
	i.kubectl("delete", "--namespace="+i.namespace, "-f", "../deploy/sample.yaml")
	i.kubectl("delete", "--wait=false", "-f", "../deploy/install.yaml")
	left := i.kubectl("get", "clusterrole,clusterrolebinding,"+
		"mutatingwebhookconfiguration,validatingwebhookconfiguration,"+
		"validatingadmissionpolicy,validatingadmissionpolicybinding", "-o", "name")
	if strings.Contains(left, home) {
		t.Errorf("left after uninstalling:\n%s", left)
	}
}

// define creates a ConfigMap in the namespace of the installation.
func (i *installation) define(name, definition string) error {
	there := &scene{T: i.T, Cluster: i.Cluster, namespace: home}
	return there.apply(name, definition)
}

// setBundle overwrites the caBundle of the webhook for pods.
func (i *installation) setBundle(bundle []byte) {
	i.Helper()
	configurations := i.client().AdmissionregistrationV1().MutatingWebhookConfigurations()
	configuration, err := configurations.Get(i.Context(), home, metav1.GetOptions{})
	must(i.T, err)
	configuration.Webhooks[0].ClientConfig.CABundle = bundle
	_, err = configurations.Update(i.Context(), configuration, metav1.UpdateOptions{})
	must(i.T, err)
}

// bundle returns the caBundle of the webhook for pods.
func (i *installation) bundle() []byte {
	i.Helper()
	configurations := i.client().AdmissionregistrationV1().MutatingWebhookConfigurations()
	configuration, err := configurations.Get(i.Context(), home, metav1.GetOptions{})
	must(i.T, err)
	return bytes.Clone(configuration.Webhooks[0].ClientConfig.CABundle)
}

// TestRights checks the rights that the manifests grant, in addition to those of every service account.
// The right to the Secret is restricted to its data. Otherwise the token could have the Secret deleted, and
// create one that gets the token of another service account.
func TestRights(t *testing.T) {
	t.Parallel()
	i := installManifests(t)
	configurations := "list,patch,watch mutatingwebhookconfigurations,validatingwebhookconfigurations." +
		"admissionregistration.k8s.io " + home
	i.checkRights(map[string][]string{
		home: {
			configurations,
			"create,list,patch,update,watch secrets. " + home + "-tls",
			"list,watch configmaps. ",
		},
		metav1.NamespaceSystem: {configurations},
		i.namespace:            {configurations},
	})
	i.checkSecret()
}

// checkRights checks the rights by namespace, in addition to those of every service account.
func (i *installation) checkRights(wanted map[string][]string) {
	i.Helper()
	t := i.T
	for namespace, want := range wanted {
		slices.Sort(want)
		if diff := cmp.Diff(want, i.granted(namespace)); diff != "" {
			t.Errorf("the rights in %s (-want +got):\n%s", namespace, diff)
		}
	}
}

// granted returns the rights of the injector in a namespace, in addition to those of every service account.
func (i *installation) granted(namespace string) []string {
	i.Helper()
	must(i.T, ignoreExisting(i.AddAccount(i.Context(), namespace, "nobody")))
	nobody, err := i.Identity(i.Context(), namespace, "nobody")
	must(i.T, err)
	granted := i.rights(i.identity.Kubeconfig, namespace)
	for _, rule := range i.rights(nobody.Kubeconfig, namespace) {
		granted = slices.DeleteFunc(granted, func(other string) bool { return other == rule })
	}
	return granted
}

// rights returns the rights of an identity in a namespace, as reported by the API server.
func (i *installation) rights(kubeconfig, namespace string) []string {
	i.Helper()
	reviews := i.clientOf(kubeconfig).AuthorizationV1().SelfSubjectRulesReviews()
	review, err := reviews.Create(i.Context(), &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace},
	}, metav1.CreateOptions{})
	must(i.T, err)
	var rules []string
	for _, r := range review.Status.ResourceRules {
		slices.Sort(r.Verbs)
		slices.Sort(r.Resources)
		rules = append(rules, fmt.Sprintf("%s %s.%s %s", strings.Join(r.Verbs, ","), strings.Join(r.Resources, ","),
			strings.Join(r.APIGroups, ","), strings.Join(r.ResourceNames, ",")))
	}
	for _, r := range review.Status.NonResourceRules {
		rules = append(rules, fmt.Sprintf("%s %s", strings.Join(r.Verbs, ","), strings.Join(r.NonResourceURLs, ",")))
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

// clientOf returns a client of an identity.
func (i *installation) clientOf(kubeconfig string) kubernetes.Interface {
	i.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	must(i.T, err)
	config.QPS, config.Burst = 1000, 1000
	client, err := kubernetes.NewForConfig(config)
	must(i.T, err)
	return client
}

func ignoreExisting(err error) error {
	if err != nil && strings.Contains(err.Error(), "already exists") {
		return nil
	}
	return err
}

// TestRightsRefused checks that no other Secret or configuration can be written or created.
func TestRightsRefused(t *testing.T) {
	t.Parallel()
	i := installManifests(t)
	client := i.clientOf(i.identity.Kubeconfig)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "other"}}
	for what, try := range map[string]func() error{
		"create a Secret": func() error {
			_, err := client.CoreV1().Secrets(home).Create(t.Context(), secret, metav1.CreateOptions{})
			return err
		},
		"list Secrets": func() error {
			_, err := client.CoreV1().Secrets(home).List(t.Context(), metav1.ListOptions{})
			return err
		},
		"read a Secret elsewhere": func() error {
			_, err := client.CoreV1().Secrets(metav1.NamespaceSystem).Get(t.Context(), home+"-tls", metav1.GetOptions{})
			return err
		},
		"write a ConfigMap": func() error {
			configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}
			_, err := client.CoreV1().ConfigMaps(home).Create(t.Context(), configMap, metav1.CreateOptions{})
			return err
		},
		"list webhook configurations": func() error {
			_, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(t.Context(), metav1.ListOptions{})
			return err
		},
		"patch another Secret": func() error {
			_, err := client.CoreV1().Secrets(home).Patch(t.Context(), "other", types.MergePatchType,
				[]byte(`{}`), metav1.PatchOptions{})
			return err
		},
		"patch another configuration": func() error {
			_, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Patch(t.Context(), "other",
				types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
			return err
		},
		"create a pod": func() error {
			_, err := client.CoreV1().Pods(home).Create(t.Context(), pod("x", ""), metav1.CreateOptions{})
			return err
		},
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), "forbidden") {
			t.Errorf("%s: got %v, want forbidden", what, err)
		}
	}
}
