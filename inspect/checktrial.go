package inspect

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/kube"
	"k8s-sidecar-injector/mutate"
)

const (
	// malformedRequest is a request that injects nothing. Alerts are about requests for sidecars that do not exist.
	malformedRequest = "k8s-sidecar-injector check"
	// trialContainer is a name that no sidecar has.
	trialContainer = "k8s-sidecar-injector-check"
)

// trialPod returns a pod that the Pod Security level restricted allows.
func trialPod(policy *mutate.Policy, request string) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: trialContainer + "-",
			Annotations:  map[string]string{policy.RequestAnnotation(): request},
		},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: new(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65534)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: trialContainer, Image: "k8s-sidecar-injector",
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false),
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

// Trial configures a trial pod.
type Trial struct {
	Namespace string
	// Sidecar is what the pod requests. If it is zero, the request is malformed, and only the call of the webhook is
	// checked.
	Sidecar conf.Ref
	Policy  *mutate.Policy
}

// CheckTrial creates a trial pod as a dry run, and calls visit with the result. It reads nothing, so it needs only the
// permission to create pods in the namespace.
func (c *Client) CheckTrial(ctx context.Context, trial *Trial, visit func(Result)) {
	checkTrial := func(_ *checkup, ctx context.Context) outcome { return c.checkTrial(ctx, trial) }
	newCheckup(ctx, c, CheckOptions{}).run(ctx, []check{{
		categoryWebhooks, "trial-pod", false,
		"select a sidecar that `list` prints, and a namespace that the webhook includes with --namespace, and wait until " +
			"the injector is ready; `check` without --trial finds out more",
		checkTrial,
	}}, visit)
}

func (c *Client) checkTrial(ctx context.Context, trial *Trial) outcome {
	request := malformedRequest
	if trial.Sidecar != (conf.Ref{}) {
		request = trial.Sidecar.String()
	}
	var pod createdPod
	warnings, err := c.createTrial(ctx, trialPod(trial.Policy, request), trial.Namespace, &pod)
	if request == malformedRequest || err != nil {
		return callOutcome(trial.Namespace, warnings, err)
	}
	annotations := pod.Metadata.Annotations
	injected := slices.ContainsFunc(mutate.ParseInjections(annotations[trial.Policy.InjectedAnnotation()]),
		func(i mutate.Injection) bool { return i.Ref == trial.Sidecar })
	switch {
	case injected:
		return passed("sidecar %s was injected into a trial pod in namespace %s; containers: %s",
			request, trial.Namespace, names(pod.added(), strings.Clone))
	case annotations[trial.Policy.StatusAnnotation()] == "":
		return notAnswered(trial.Namespace)
	}
	return failed("sidecar %s was not injected into a trial pod in namespace %s: %s", request, trial.Namespace,
		names(warnings, strings.Clone))
}

// createdPod is the view of a trial pod.
type createdPod struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		InitContainers []corev1.Container `json:"initContainers"`
		Containers     []corev1.Container `json:"containers"`
	} `json:"spec"`
}

// added returns the names of the containers that the trial pod did not have.
func (p *createdPod) added() (added []string) {
	for _, container := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		if container.Name != trialContainer {
			added = append(added, container.Name)
		}
	}
	return added
}

// createTrial creates a pod as a dry run, and returns the warnings. The response is decoded into created.
func (c *Client) createTrial(
	ctx context.Context, pod *corev1.Pod, namespace string, created *createdPod,
) (warnings []string, err error) {
	body, err := json.Marshal(pod)
	if err != nil {
		return nil, err
	}
	var object jsontext.Value
	switch warnings, err = c.create(ctx, pods(), namespace, true, body, &object); {
	case lacksPermission(err):
		return nil, pods().describe("create", namespace, "", err)
	case err != nil:
		return nil, err
	}
	return warnings, kjson.Unmarshal(object, created)
}

// callOutcome returns the outcome of a trial pod with the malformed request, or of one that was not created. The
// response of the injector proves that the API server reaches it and trusts its certificate.
func callOutcome(namespace string, warnings []string, err error) outcome {
	answered := func(text string) bool {
		return strings.Contains(text, string(mutate.ReasonBadRequest)+": ") && strings.Contains(text, malformedRequest)
	}
	switch {
	case slices.ContainsFunc(warnings, answered), err != nil && answered(err.Error()):
		return passed("the API server called the webhook for a trial pod in namespace %s", namespace)
	case lacksPermission(err):
		return failed("the API server does not create a trial pod in namespace %s: %v", namespace, err).withHint(
			"grant the permission to the caller, or select another namespace with --namespace")
	case err != nil:
		if !apierrors.IsForbidden(err) {
			err = kube.Explain(err, "")
		}
		return failed("the API server does not create a trial pod in namespace %s: %v", namespace, err)
	}
	return notAnswered(namespace)
}

func notAnswered(namespace string) outcome {
	return failed("the API server created a trial pod in namespace %s, as a dry run, without an answer of the webhook",
		namespace)
}
