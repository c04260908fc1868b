package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"k8s-sidecar-injector/e2e/cluster"
)

// requestAnnotation is the annotation that requests sidecars.
const requestAnnotation = "injector.tumblr.com/request"

// clusterTimeout bounds the wait until the API server uses a configuration.
const clusterTimeout = time.Minute

// ClusterOptions configure Cluster.
type ClusterOptions struct {
	Options

	// Sidecars is the number of sidecars in ConfigMaps, ten in each.
	Sidecars int
	// Edits is the number of edits of these ConfigMaps.
	Edits int
}

// Cluster measures the creation of pods by a real API server, and edits of ConfigMaps.
func Cluster(ctx context.Context, o ClusterOptions) error {
	l, err := newClusterLab(ctx, o.Options)
	if err != nil {
		return err
	}
	defer l.close()
	printMachine(o.Out)
	if err := l.compareCreations(ctx); err != nil {
		return err
	}
	return l.editConfigMaps(ctx, o)
}

// clusterLab is a lab with a control plane.
type clusterLab struct {
	*lab

	client *kubernetes.Clientset // without a limit of requests
}

func newClusterLab(ctx context.Context, o Options) (*clusterLab, error) {
	if err := cluster.CheckPrograms(o.Bin); err != nil {
		return nil, err
	}
	l, err := newLab(o)
	if err != nil {
		return nil, err
	}
	started, err := cluster.Start(ctx, o.Bin, l.dir)
	if err != nil {
		l.close()
		return nil, err
	}
	l.cluster = started
	config, err := started.Config()
	if err != nil {
		l.close()
		return nil, err
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		l.close()
		return nil, err
	}
	return &clusterLab{l, client}, nil
}

func (l *clusterLab) close() {
	l.cluster.Stop()
	l.lab.close()
}

// compareCreations measures the pods created per second in a namespace of each configuration.
func (l *clusterLab) compareCreations(ctx context.Context) error {
	targets, err := l.creationTargets(ctx)
	if err != nil {
		return err
	}
	loads, err := l.compare(ctx, targets...)
	if err != nil {
		return err
	}
	rates := make([][]float64, len(loads))
	for n := range loads {
		rates[n] = series(loads[n], load.perSecond)
	}
	const none, null, policy = 0, 1, 4
	var rows [][]string
	for n, t := range targets {
		rows = append(rows, []string{
			t.name, fmt.Sprintf("%.0f", median(rates[n])), times(ratios(rates[n], rates[none])),
			times(ratios(rates[n], rates[null])), times(ratios(rates[n], rates[policy])),
		})
	}
	fmt.Fprintf(l.Out, "%d clients, server-side dry run, %d rounds of %s each\n", l.Clients, l.Rounds, l.BenchTime)
	printTable(l.Out, []string{
		"configuration", "pods per second", "ratio to none (range)", "ratio to constant (range)", "ratio to policy (range)",
	}, rows)
	return nil
}

// creationTargets registers each configuration for a namespace of its own.
func (l *clusterLab) creationTargets(ctx context.Context) ([]*target, error) {
	if err := l.namespaces(ctx, "none", "constant", "injector", "skipped", "policy"); err != nil {
		return nil, err
	}
	injector, err := l.startInjector(ctx)
	if err != nil {
		return nil, err
	}
	response, err := l.responseFor(ctx, injector)
	if err != nil {
		return nil, err
	}
	constant, err := l.startConstant(ctx, response)
	if err != nil {
		return nil, err
	}
	if err := l.register(ctx, "constant", fmt.Sprintf("https://127.0.0.1:%d/", constant.Port), constant.CA); err != nil {
		return nil, err
	}
	for _, namespace := range []string{"injector", "skipped"} {
		if err := l.register(ctx, namespace, injector.URL("/mutate"), injector.CA); err != nil {
			return nil, err
		}
	}
	if err := l.addPolicy(ctx, "policy", response); err != nil {
		return nil, err
	}
	for _, namespace := range []string{"constant", "injector", "skipped", "policy"} {
		if err := l.awaitInjection(ctx, namespace); err != nil {
			return nil, err
		}
	}
	return []*target{
		l.creations("no webhook", "none", true),
		l.creations("constant webhook", "constant", true),
		l.creations("injector, 2 containers added", "injector", true),
		l.creations("injector, pod without a request", "skipped", false),
		l.creations("MutatingAdmissionPolicy with the same patch", "policy", true),
	}, nil
}

// startInjector starts an injector with a sidecar of two containers.
func (l *clusterLab) startInjector(ctx context.Context) (*cluster.Injector, error) {
	dir := filepath.Join(l.dir, "conf")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := writeFile(dir, fileName(0), base+"---\n"+definition(1, 2, imageAtStart)); err != nil {
		return nil, err
	}
	return l.start(ctx, "--config-directory="+dir)
}

// namespaces creates namespaces with their service accounts.
func (l *clusterLab) namespaces(ctx context.Context, names ...string) error {
	for _, name := range names {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := l.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return err
		}
		if err := l.cluster.AwaitNamespace(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// responseFor returns the injector's response to the creation of the pod.
func (l *clusterLab) responseFor(ctx context.Context, i *cluster.Injector) ([]byte, error) {
	stored, err := l.create(ctx, "none", true)
	if err != nil {
		return nil, err
	}
	stored.UID, stored.CreationTimestamp = "", metav1.Time{}
	object, err := json.Marshal(stored)
	if err != nil {
		return nil, err
	}
	review, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID:       "bench",
			Kind:      metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Resource:  metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Namespace: "none",
			Operation: admissionv1.Create,
			Object:    runtime.RawExtension{Raw: object},
		},
	})
	if err != nil {
		return nil, err
	}
	t, err := l.aim(ctx, "pod of the cluster", i, review)
	if err != nil {
		return nil, err
	}
	return t.want, nil
}

// newPod returns the pod that is created. It mounts no token, whose volume has a random name: the constant patch could
// not refer to it.
func (l *clusterLab) newPod(requests bool) (*corev1.Pod, error) {
	review, err := newReview(l.recorded, sidecarRef(1), reviewSize)
	if err != nil {
		return nil, err
	}
	var recorded admissionv1.AdmissionReview
	if err := json.Unmarshal(review, &recorded); err != nil {
		return nil, err
	}
	var source corev1.Pod
	if err := json.Unmarshal(recorded.Request.Object.Raw, &source); err != nil {
		return nil, err
	}
	pod := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-", Labels: source.Labels, Annotations: source.Annotations},
		Spec: corev1.PodSpec{
			Containers:                   source.Spec.Containers[:1],
			AutomountServiceAccountToken: new(false),
		},
	}
	pod.Spec.Containers[0].VolumeMounts = nil
	if !requests {
		delete(pod.Annotations, requestAnnotation)
	}
	return pod, nil
}

// create creates a pod by a server-side dry run.
func (l *clusterLab) create(ctx context.Context, namespace string, requests bool) (*corev1.Pod, error) {
	pod, err := l.newPod(requests)
	if err != nil {
		return nil, err
	}
	return l.client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

// creations returns a target that creates pods.
func (l *clusterLab) creations(name, namespace string, requests bool) *target {
	pod, podErr := l.newPod(requests)
	body, jsonErr := json.Marshal(pod)
	return &target{
		name: name, pid: l.cluster.APIServer.PID(), workers: l.Clients,
		send: func(ctx context.Context, _ int) error {
			if err := errors.Join(podErr, jsonErr); err != nil {
				return err
			}
			return l.client.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").
				Param("dryRun", metav1.DryRunAll).Body(body).Do(ctx).Error()
		},
	}
}

// register registers a webhook for the pods of a namespace that request sidecars.
func (l *clusterLab) register(ctx context.Context, namespace, url string, ca []byte) error {
	webhook := admissionregistrationv1.MutatingWebhook{
		Name:                    "bench.example.com",
		ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: ca},
		Rules:                   []admissionregistrationv1.RuleWithOperations{podCreations()},
		FailurePolicy:           new(admissionregistrationv1.Fail),
		SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
		AdmissionReviewVersions: []string{"v1"},
		NamespaceSelector:       inNamespace(namespace),
		MatchConditions:         requested(),
	}
	_, err := l.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx,
		&admissionregistrationv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: namespace},
			Webhooks:   []admissionregistrationv1.MutatingWebhook{webhook},
		}, metav1.CreateOptions{})
	return err
}

// addPolicy adds a MutatingAdmissionPolicy with the patch of a response.
func (l *clusterLab) addPolicy(ctx context.Context, namespace string, response []byte) error {
	patch, err := patchOf(response)
	if err != nil {
		return err
	}
	policy, binding, err := newPolicy(namespace, patch)
	if err != nil {
		return err
	}
	api := l.client.AdmissionregistrationV1()
	if _, err := api.MutatingAdmissionPolicies().Create(ctx, policy, metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err = api.MutatingAdmissionPolicyBindings().Create(ctx, binding, metav1.CreateOptions{})
	return err
}

// awaitInjection creates pods until one has the containers of the sidecar.
func (l *clusterLab) awaitInjection(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	for {
		pod, err := l.create(ctx, namespace, true)
		if err == nil && len(pod.Spec.Containers) == 3 {
			return nil
		}
		if waitErr := sleepUntil(ctx, time.Now().Add(50*time.Millisecond)); waitErr != nil {
			return fmt.Errorf("waiting for an injected pod in namespace %s: %w, last error: %w", namespace, waitErr, err)
		}
	}
}

func podCreations() admissionregistrationv1.RuleWithOperations {
	return admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
		},
	}
}

func requested() []admissionregistrationv1.MatchCondition {
	return []admissionregistrationv1.MatchCondition{{Name: "requested", Expression: cluster.Asks}}
}

func inNamespace(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}}
}
