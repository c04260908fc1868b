package cli

import (
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"k8s-sidecar-injector/inspect"
)

// printRestarts prints a command for each workload that needs a restart, or a comment that says what to do instead.
func (o *inspectionOptions) printRestarts(w io.Writer, rows []inspect.Row) {
	last := ""
	for i := range rows {
		if !rows[i].NeedsRestart() {
			continue
		}
		if line := o.restart(&rows[i]); line != last { // rows of a workload follow each other
			fmt.Fprintln(w, line)
			last = line
		}
	}
}

// restart returns a line of a shell script. The author of a pod may choose any owner, so names are checked.
func (o *inspectionOptions) restart(r *inspect.Row) string {
	kind := schema.FromAPIVersionAndKind(r.APIVersion, r.Kind).GroupKind().String()
	command, advice := "", "replace its pods"
	switch kind {
	case "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps":
		if advice = adviseRollout(r.Rollout); advice != "" {
			break
		}
		advice = "replace its pods"
		command = "kubectl rollout restart " + strings.ToLower(r.Kind) + "/" + r.Workload
	case "Rollout.argoproj.io":
		command = "# kubectl argo rollouts restart " + r.Workload
	case "CronJob.batch":
		advice = "its next Job gets the sidecars"
	case "Job.batch":
		advice = "delete and create the Job"
	case "Pod":
		advice = "it has no controller; delete and create the pod"
	}
	if command == "" || len(validation.IsDNS1123Subdomain(r.Workload)) > 0 {
		name := printable(fmt.Sprintf("%s/%s in namespace %s", r.Kind, r.Workload, r.Namespace))
		return "# " + name + ": " + advice
	}
	command += " --namespace=" + r.Namespace
	if o.explicitKubeconfig {
		command += " --kubeconfig=" + shellQuoted(o.kubeconfig)
	}
	if o.context != "" {
		command += " --context=" + shellQuoted(o.context)
	}
	return command
}

// adviseRollout returns what to do instead of a restart that replaces no pods, or "".
func adviseRollout(rollout inspect.Rollout) string {
	switch rollout {
	case inspect.Paused:
		return "it is paused, so kubectl refuses to restart it; resume it first"
	case inspect.OnDelete:
		return "its update strategy is OnDelete, so a restart replaces no pods; delete its pods"
	}
	return ""
}

// shellQuoted quotes a word for sh.
func shellQuoted(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
