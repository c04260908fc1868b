package mutate

import (
	"cmp"

	"github.com/go-json-experiment/json/jsontext"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Workload is the view of an object with a pod template: what its controller reads to create a pod.
type Workload struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Metadata   workloadMetadata `json:"metadata"`
	Spec       workloadSpec     `json:"spec"`
}

type workloadMetadata struct {
	Name         string `json:"name"`
	GenerateName string `json:"generateName"`
	Annotations  Map    `json:"annotations"`
}

// workloadSpec has the fields of all kinds.
type workloadSpec struct {
	Template             jsontext.Value      `json:"template"`
	VolumeClaimTemplates List[claimTemplate] `json:"volumeClaimTemplates"`
	Ordinals             ordinals            `json:"ordinals"`
	CompletionMode       string              `json:"completionMode"`
	ManualSelector       bool                `json:"manualSelector"`
	JobTemplate          struct {
		Metadata struct {
			Annotations Map `json:"annotations"`
		} `json:"metadata"`
		Spec struct {
			Template       jsontext.Value `json:"template"`
			CompletionMode string         `json:"completionMode"`
			ManualSelector bool           `json:"manualSelector"`
		} `json:"spec"`
	} `json:"jobTemplate"`
}

type claimTemplate struct {
	Metadata Named `json:"metadata"`
}

type ordinals struct {
	Start uint32 `json:"start"`
}

// The kinds with a pod template, and Pod.
const (
	barePod               = "Pod"
	podTemplate           = "PodTemplate"
	replicationController = "ReplicationController"
	deployment            = "Deployment.apps"
	replicaSet            = "ReplicaSet.apps"
	statefulSet           = "StatefulSet.apps"
	daemonSet             = "DaemonSet.apps"
	job                   = "Job.batch"
	cronJob               = "CronJob.batch"
)

func groupKind(apiVersion, kind string) string {
	return schema.FromAPIVersionAndKind(apiVersion, kind).GroupKind().String()
}

// TemplatePath returns the JSON pointer to the pod template of a kind of workload. It is empty for a Pod.
func TemplatePath(apiVersion, kind string) (path string, found bool) {
	switch groupKind(apiVersion, kind) {
	case barePod:
		return "", true
	case podTemplate:
		return "/template", true
	case replicationController, deployment, replicaSet, statefulSet, daemonSet, job:
		return inSpec, true
	case cronJob:
		return inJobTemplate, true
	}
	return "", false
}

// The paths of the templates of controllers.
const (
	inSpec        = "/spec/template"
	inJobTemplate = "/spec/jobTemplate/spec/template"
)

// Template returns the pod template. It is empty if the object has none, or is not of a kind with a controller.
func (w *Workload) Template() []byte {
	switch path, _ := TemplatePath(w.APIVersion, w.Kind); path {
	case inSpec:
		return w.Spec.Template
	case inJobTemplate:
		return w.Spec.JobTemplate.Spec.Template
	}
	return nil
}

// Pod returns the pod that the controller of the workload would create from its template, as far as merging
// and validation see it. The template must decode as an Object. Its containers, volumes and tolerations keep
// their indexes. Values that are not known yet, such as a hash, are stand-ins.
func (w *Workload) Pod(template []byte, s *StandIns) ([]byte, error) {
	pod, err := newDraft(template)
	if err != nil {
		return nil, err
	}
	kind := groupKind(w.APIVersion, w.Kind)
	if kind != podTemplate && kind != barePod { // which have no controller
		pod.keepTemplateMetadata()
	}
	w.complete(pod, kind, s)
	return pod.encode()
}

// complete adds what the controller of a kind adds. The source is pkg/controller of Kubernetes 1.37.
func (w *Workload) complete(pod *draft, kind string, s *StandIns) {
	name := w.Metadata.Name
	if name == "" {
		name = w.Metadata.GenerateName + s.suffix()
	}
	switch kind {
	case deployment:
		pod.setGenerateName(name + "-" + s.hash())
		pod.labels()["pod-template-hash"] = s.hash()
	case replicaSet, replicationController:
		pod.setGenerateName(name)
	case daemonSet:
		w.completeDaemon(pod, name, s)
	case statefulSet:
		w.completeStateful(pod, name, s)
	case job:
		completeJob(pod, name, w.Spec.ManualSelector, w.Spec.CompletionMode, s)
	case cronJob:
		spec := &w.Spec.JobTemplate.Spec
		completeJob(pod, name+"-"+s.minutes(), spec.ManualSelector, spec.CompletionMode, s)
	}
}

// completeDaemon does what CreatePodTemplate of pkg/controller/daemon/util does.
func (w *Workload) completeDaemon(pod *draft, name string, s *StandIns) {
	pod.setGenerateName(name)
	generation, found := w.Metadata.Annotations["deprecated.daemonset.template.generation"]
	if !found {
		generation = s.generation()
	}
	labels := pod.labels()
	labels["controller-revision-hash"], labels["pod-template-generation"] = s.hash(), generation
	pod.bindToNode()
	pod.tolerate("not-ready", "NoExecute")
	pod.tolerate("unreachable", "NoExecute")
	pod.tolerate("disk-pressure", "NoSchedule")
	pod.tolerate("memory-pressure", "NoSchedule")
	pod.tolerate("pid-pressure", "NoSchedule")
	pod.tolerate("unschedulable", "NoSchedule")
	if pod.spec["hostNetwork"] == true {
		pod.tolerate("network-unavailable", "NoSchedule")
	}
}

// completeStateful does what newVersionedStatefulSetPod of pkg/controller/statefulset does for the first pod.
func (w *Workload) completeStateful(pod *draft, name string, s *StandIns) {
	ordinal := s.ordinal(w.Spec.Ordinals.Start)
	podName := name + "-" + ordinal
	pod.metadata["name"] = podName
	labels := pod.labels()
	labels["statefulset.kubernetes.io/pod-name"], labels["apps.kubernetes.io/pod-index"] = podName, ordinal
	labels["controller-revision-hash"] = name + "-" + s.hash()
	claims := make([]string, len(w.Spec.VolumeClaimTemplates))
	for i, claim := range w.Spec.VolumeClaimTemplates {
		claims[i] = claim.Metadata.Name
	}
	pod.claim(claims, podName)
}

// completeJob adds the labels of generateSelector in pkg/registry/batch/job. For an indexed Job, it adds
// the first index as pkg/controller/job does.
func completeJob(pod *draft, name string, manualSelector bool, completionMode string, s *StandIns) {
	const indexKey = "batch.kubernetes.io/job-completion-index"
	pod.setGenerateName(name)
	labels := pod.labels()
	if !manualSelector {
		for _, prefix := range []string{"", "batch.kubernetes.io/"} {
			labels[prefix+"job-name"] = cmp.Or(labels[prefix+"job-name"], any(name))
			labels[prefix+"controller-uid"] = cmp.Or(labels[prefix+"controller-uid"], any(s.uid()))
		}
	}
	if completionMode == "Indexed" {
		pod.setGenerateName(name + "-" + s.index())
		labels[indexKey], pod.annotations()[indexKey] = s.index(), s.index()
		pod.addVariable("JOB_COMPLETION_INDEX", "metadata.labels['"+indexKey+"']")
	}
}
