package podrules_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"k8s-sidecar-injector/conf/podrules"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pod  string
		want []string
	}{
		"pod template":         {"spec: {containers: [{name: a, image: i}]}", nil},
		"privileged container": {"spec: {containers: [{name: a, image: i, securityContext: {privileged: true}}]}", nil},
		"relaxed name":         {"spec: {containers: [{name: a, image: i, env: [{name: a b}]}]}", nil},
		"account":              {"spec: {containers: [{name: a, image: i}], serviceAccountName: x, serviceAccount: x}", nil},
		"deprecated account":   {"spec: {containers: [{name: a, image: i}], serviceAccount: x}", nil},
		"panic": {
			"spec: {containers: [{name: a, image: i, resources: {limits: {cpu: 1, hugepages-1e99: 1}}}]}",
			[]string{"spec: Internal error: validation panicked"},
		},
		"no containers": {
			"spec: {}",
			[]string{"spec.containers: Required value"},
		},
		"missing volume": {
			"spec: {containers: [{name: a, image: i, volumeMounts: [{name: v, mountPath: /v}]}]}",
			[]string{"spec.containers[0].volumeMounts[0].name: Not found"},
		},
		"missing claim": {
			"spec: {containers: [{name: a, image: i, resources: {claims: [{name: c}]}}]}",
			[]string{"spec.containers[0].resources.claims[0]: Not found: " +
				"must be one of the names in pod.spec.resourceClaims which is empty"},
		},
		"sleep": {
			"spec: {containers: [{name: a, image: i, lifecycle: {preStop: {sleep: {seconds: 31}}}}]}",
			[]string{"spec.containers[0].lifecycle.preStop.sleep: Invalid value: " +
				"must be non-negative and less than terminationGracePeriodSeconds (30)"},
		},
		"port of host network": {
			"spec: {hostNetwork: true, containers: [{name: a, image: i, ports: [{containerPort: 1, hostPort: 2}]}]}",
			[]string{"spec.containers[0].ports[0].hostPort: Invalid value: " +
				"must match `containerPort` when `hostNetwork` is true"},
		},
		"hostIPC in a user namespace": {
			"spec: {hostUsers: false, hostIPC: true, containers: [{name: a, image: i}]}",
			[]string{"spec.HostIPC: Forbidden: when `hostUsers` is false"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := parse[corev1.Pod](t, test.pod)
			if diff := cmp.Diff(test.want, texts(podrules.Validate(pod))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(parse[corev1.Pod](t, test.pod), pod); diff != "" {
				t.Errorf("the pod was changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIntroduced(t *testing.T) {
	t.Parallel()
	const before = "spec: {containers: [{name: A, image: i}], volumes: [{name: V, emptyDir: {}}]}"
	for name, test := range map[string]struct {
		after string
		want  []string
	}{
		"nothing": {before, nil},
		"moved": {
			"spec: {containers: [{name: x, image: i}, {name: A, image: i}], " +
				"volumes: [{name: w, emptyDir: {}}, {name: V, emptyDir: {}}]}",
			nil,
		},
		"fixed": {"spec: {containers: [{name: a, image: i}]}", nil},
		"another": {
			"spec: {containers: [{name: A, image: i}, {name: b}], volumes: [{name: V, emptyDir: {}}]}",
			[]string{"spec.containers[1].image: Required value"},
		},
		"pod": {
			before[:len(before)-1] + ", hostPID: true, shareProcessNamespace: true}",
			[]string{"spec.shareProcessNamespace: Invalid value: ShareProcessNamespace and HostPID cannot both be enabled"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := podrules.Introduced(parse[corev1.Pod](t, before), parse[corev1.Pod](t, test.after))
			if diff := cmp.Diff(test.want, texts(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
