package mutate_test

import (
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"sigs.k8s.io/yaml"

	"k8s-sidecar-injector/mutate"
)

// TestWorkloadPod compares pods with those of the controllers, with the names of stand-ins.
func TestWorkloadPod(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ workload, want string }{
		"Deployment": {
			workload: `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {template: {
				metadata: {name: ignored, labels: {app: web, pod-template-hash: mine}, annotations: {a: b}, finalizers: [f]},
				spec: {future: 12345678901234567}}}}`,
			want: `{metadata: {generateName: web-<hash>-, labels: {app: web, pod-template-hash: <hash>}, annotations: {a: b}},
				spec: {future: 12345678901234567}}`,
		},
		"ReplicaSet": {
			workload: `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {generateName: web-}, spec: {template: {}}}`,
			want:     `{metadata: {generateName: web-<suffix>-, labels: {}, annotations: {}}, spec: {}}`,
		},
		"ReplicationController": {
			workload: `{apiVersion: v1, kind: ReplicationController, metadata: {name: web}, spec: {template: null}}`,
			want:     `{metadata: {generateName: web-, labels: {}, annotations: {}}, spec: {}}`,
		},
		"PodTemplate": {
			workload: `{apiVersion: v1, kind: PodTemplate, metadata: {name: a}, template: {metadata: {name: b}}}`,
			want:     `{metadata: {name: b}, spec: {}}`,
		},
		"DaemonSet": {
			workload: `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent}, spec: {template: {spec: {
				hostNetwork: true, tolerations: [{key: mine}, null,
				{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 60}]}}}}`,
			want: `{metadata: {generateName: agent-, annotations: {},
				labels: {controller-revision-hash: <hash>, pod-template-generation: <generation>}},
				spec: {hostNetwork: true,
				affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
				{matchFields: [{key: metadata.name, operator: In, values: [node]}]}]}}},
				tolerations: [{key: mine}, null,
				{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute},
				{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute},
				{key: node.kubernetes.io/disk-pressure, operator: Exists, effect: NoSchedule},
				{key: node.kubernetes.io/memory-pressure, operator: Exists, effect: NoSchedule},
				{key: node.kubernetes.io/pid-pressure, operator: Exists, effect: NoSchedule},
				{key: node.kubernetes.io/unschedulable, operator: Exists, effect: NoSchedule},
				{key: node.kubernetes.io/network-unavailable, operator: Exists, effect: NoSchedule}]}}`,
		},
		"DaemonSet of a cluster": {
			workload: `{apiVersion: apps/v1, kind: DaemonSet, spec: {template: {spec: {tolerations: [{operator: Exists}]}}},
				metadata: {name: agent, annotations: {deprecated.daemonset.template.generation: "7"}}}`,
			want: `{metadata: {generateName: agent-, annotations: {},
				labels: {controller-revision-hash: <hash>, pod-template-generation: "7"}},
				spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
				{matchFields: [{key: metadata.name, operator: In, values: [node]}]}]}}},
				tolerations: [{operator: Exists},
				{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute},
				{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute},
				{key: node.kubernetes.io/disk-pressure, operator: Exists, effect: NoSchedule},
				{key: node.kubernetes.io/memory-pressure, operator: Exists, effect: NoSchedule},
				{key: node.kubernetes.io/pid-pressure, operator: Exists, effect: NoSchedule},
				{key: node.kubernetes.io/unschedulable, operator: Exists, effect: NoSchedule}]}}`,
		},
		"StatefulSet": {
			workload: `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: kafka-0}, spec: {ordinals: {start: 10},
				volumeClaimTemplates: [{metadata: {name: data}}, null, {metadata: {name: logs}}],
				template: {spec: {volumes: [{name: data, emptyDir: {}}, {name: tmp}]}}}}`,
			want: `{metadata: {name: kafka-0-<ordinal>, annotations: {}, labels: {apps.kubernetes.io/pod-index: <ordinal>,
				controller-revision-hash: kafka-0-<hash>, statefulset.kubernetes.io/pod-name: kafka-0-<ordinal>}},
				spec: {volumes: [{name: data, persistentVolumeClaim: {claimName: data-kafka-0-<ordinal>}}, {name: tmp},
				{name: logs, persistentVolumeClaim: {claimName: logs-kafka-0-<ordinal>}}]}}`,
		},
		"Job": {
			workload: `{apiVersion: batch/v1, kind: Job, metadata: {name: sum}, spec: {template: {
				metadata: {labels: {job-name: sum}}, spec: {restartPolicy: Never, containers: [{name: a}]}}}}`,
			want: `{metadata: {generateName: sum-, annotations: {}, labels: {job-name: sum, controller-uid: <uid>,
				batch.kubernetes.io/job-name: sum, batch.kubernetes.io/controller-uid: <uid>}},
				spec: {restartPolicy: Never, containers: [{name: a}]}}`,
		},
		"indexed Job": {
			workload: `{apiVersion: batch/v1, kind: Job, metadata: {name: sum}, spec: {completionMode: Indexed,
				manualSelector: true, template: {spec: {initContainers: [null, {env: null}],
				containers: [{env: [{name: A}]}, {env: [{name: JOB_COMPLETION_INDEX}]}]}}}}`,
			want: `{metadata: {generateName: sum-<index>-,
				annotations: {batch.kubernetes.io/job-completion-index: <index>},
				labels: {batch.kubernetes.io/job-completion-index: <index>}},
				spec: {initContainers: [null, {env: [{name: JOB_COMPLETION_INDEX, valueFrom: {fieldRef: {
				fieldPath: "metadata.labels['batch.kubernetes.io/job-completion-index']"}}}]}],
				containers: [{env: [{name: A}, {name: JOB_COMPLETION_INDEX, valueFrom: {fieldRef: {
				fieldPath: "metadata.labels['batch.kubernetes.io/job-completion-index']"}}}]},
				{env: [{name: JOB_COMPLETION_INDEX}]}]}}`,
		},
		"CronJob": {
			workload: `{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly}, spec: {jobTemplate: {spec: {
				template: {}}}}}`,
			want: `{metadata: {generateName: nightly-<minutes>-, annotations: {}, labels: {job-name: nightly-<minutes>,
				controller-uid: <uid>, batch.kubernetes.io/job-name: nightly-<minutes>,
				batch.kubernetes.io/controller-uid: <uid>}}, spec: {}}`,
		},
		"another kind": {
			workload: `{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {a: b}}}`,
			want:     `{metadata: {name: web, labels: {a: b}}, spec: {}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			standIns := new(mutate.StandIns)
			first, second := expectedPod(t, c.workload, standIns), expectedPod(t, c.workload, standIns.Other())
			got, want := canonical(t, []byte(standIns.Show(first, second))), canonical(t, fromYAML(t, c.want))
			if got != want {
				t.Errorf("pod:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// canonical returns JSON in a canonical form.
func canonical(t *testing.T, text jsontext.Value) string {
	t.Helper()
	if err := text.Canonicalize(jsontext.CanonicalizeRawInts(false)); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fromYAML returns YAML, with tabs as spaces, as JSON.
func fromYAML(t *testing.T, text string) []byte {
	t.Helper()
	object, err := yaml.YAMLToJSON([]byte(strings.ReplaceAll(text, "\t", " ")))
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// expectedPod returns the pod of a workload in YAML as JSON.
func expectedPod(t *testing.T, text string, standIns *mutate.StandIns) string {
	t.Helper()
	object, w := fromYAML(t, text), new(mutate.Workload)
	if err := jsonv2.Unmarshal(object, w); err != nil {
		t.Fatal(err)
	}
	path, found := mutate.TemplatePath(w.APIVersion, w.Kind)
	if !found {
		t.Fatalf("no pod template: %s %s", w.APIVersion, w.Kind)
	}
	for step := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if step == "" {
			continue
		}
		var members map[string]jsontext.Value
		if err := jsonv2.Unmarshal(object, &members); err != nil {
			t.Fatal(err)
		}
		object = members[step]
	}
	pod, err := w.Pod(object, standIns)
	if err != nil {
		t.Fatal(err)
	}
	return string(pod)
}

func TestStandInsShow(t *testing.T) {
	t.Parallel()
	workload := `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a}, spec: {template: {}}}`
	standIns := new(mutate.StandIns)
	expectedPod(t, workload, standIns)
	for _, c := range []struct{ first, second, want string }{
		{"a-0", "a-1", "a-<ordinal>"},
		{"a-0.a-0.svc", "a-1.a-0.svc", "a-<ordinal>.a-0.svc"},
		{"a-0, 0", "a-1, 1", "a-<ordinal>, <ordinal>"},
		{"same 0", "same 0", "same 0"},
		{"x", "y", "x"},
		{"0 longer", "1", "0 longer"},
		{"", "", ""},
	} {
		if got := standIns.Show(c.first, c.second); got != c.want {
			t.Errorf("Show(%q, %q) = %q, want %q", c.first, c.second, got, c.want)
		}
	}
}
