{{- /* Fails with a clear text where the schema cannot check. */ -}}
{{- define "checkValues" -}}
{{- include "checkPod" . -}}
{{- include "checkNames" . -}}
{{- include "checkCertificates" . -}}
{{- include "checkScaling" . -}}
{{- include "checkMonitoring" . -}}
{{- end -}}

{{- define "checkPod" -}}
{{- $v := .Values -}}
{{- if lt (int $v.terminationGracePeriodSeconds) (add 15 (trimSuffix "s" $v.drainDelay | int)) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d: must be at least drainDelay, %s, and 15 seconds, or replicas are killed while they serve" (int $v.terminationGracePeriodSeconds) $v.drainDelay) -}}
{{- end -}}
{{- if eq (int $v.ports.webhook) (int $v.ports.lifecycle) -}}
{{- fail (printf "ports.webhook and ports.lifecycle are both %d: must differ" (int $v.ports.webhook)) -}}
{{- end -}}
{{- range $v.extraArgs -}}
{{- if regexMatch "^--?(tls-port|lifecycle-port)(=|$)" . -}}
{{- fail (printf "extraArgs has %s: set ports.webhook and ports.lifecycle instead, which the Service and the probes use" .) -}}
{{- end -}}
{{- end -}}
{{- range $name, $labels := dict "commonLabels" $v.commonLabels "podLabels" $v.podLabels -}}
{{- range $key, $_ := $labels -}}
{{- if has $key (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by") -}}
{{- fail (printf "%s: the chart itself sets the label %s" $name $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "checkUnique" (list "extraEnv" "name" $v.extraEnv) -}}
{{- include "checkVolumes" . -}}
{{- end -}}

{{- define "checkVolumes" -}}
{{- $own := list (dict "name" "tls" "mountPath" "/tls") -}}
{{- $volumes := concat $own (default list .Values.extraVolumes) -}}
{{- include "checkUnique" (list "extraVolumes and the volume of the chart" "name" $volumes) -}}
{{- $mounts := concat $own (default list .Values.extraVolumeMounts) -}}
{{- include "checkUnique" (list "extraVolumeMounts and the mount of the chart" "mountPath" $mounts) -}}
{{- $names := list -}}
{{- range .Values.extraVolumes -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- range .Values.extraVolumeMounts -}}
{{- if not (has .name $names) -}}
{{- fail (printf "extraVolumeMounts: extraVolumes has no volume with the name %q" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "checkNames" -}}
{{- $fullname := include "fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) -}}
{{- fail (printf "the release is named %s: a Service cannot have the name %s; set fullnameOverride" .Release.Name $fullname) -}}
{{- end -}}
{{- if eq (int .Values.service.port) 9000 -}}
{{- fail "service.port and the lifecycle port of the Service are both 9000: must differ" -}}
{{- end -}}
{{- $conditions := list (dict "name" "requested") (dict "name" "not-requested") -}}
{{- $conditions = concat $conditions (default list .Values.webhook.matchConditions) -}}
{{- include "checkUnique" (list "webhook.matchConditions and the conditions of the chart" "name" $conditions) -}}
{{- end -}}

{{- define "checkCertificates" -}}
{{- with .Values.tls.selfManaged -}}
{{- if and (eq $.Values.tls.mode "selfManaged") (lt (include "seconds" .caLifetime | int64) (mul 3 (include "seconds" .lifetime))) -}}
{{- fail (printf "tls.selfManaged.caLifetime is %s: must be at least three times tls.selfManaged.lifetime, %s" .caLifetime .lifetime) -}}
{{- end -}}
{{- end -}}
{{- with .Values.tls.certManager -}}
{{- if and (eq $.Values.tls.mode "certManager") (ge (include "seconds" .renewBefore | int64) (include "seconds" .duration | int64)) -}}
{{- fail (printf "tls.certManager.renewBefore is %s: must be less than tls.certManager.duration, %s" .renewBefore .duration) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The seconds of a duration of Go. */ -}}
{{- define "seconds" -}}
{{- toDate "2006-01-02Z07:00" "1970-01-01Z" | mustDateModify . | unixEpoch -}}
{{- end -}}

{{- define "checkScaling" -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas is %d: must not be greater than autoscaling.maxReplicas, %d" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- /* Kubernetes takes a missing request from the limit. */ -}}
{{- if and .enabled (not (or (($.Values.resources).requests).cpu (($.Values.resources).limits).cpu)) -}}
{{- fail "autoscaling.enabled needs resources.requests.cpu: autoscaling.targetCPUUtilizationPercentage is a percentage of it" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "checkMonitoring" -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- fail "serviceMonitor.enabled and podMonitor.enabled are both true: Prometheus would scrape each replica twice" -}}
{{- end -}}
{{- if and .Values.dashboard.enabled (eq .Release.Namespace (include "definitionsNamespace" .)) -}}
{{- $labels := (include "metadata" (list . .Values.dashboard.labels) | fromYaml).labels -}}
{{- if eq (include "union" (list $labels)) (include "union" (list $labels .Values.configMaps.matchLabels)) -}}
{{- fail (printf "the ConfigMap of the dashboard has the labels of configMaps.matchLabels, %s, and would be read as a definition: change commonLabels or dashboard.labels" (include "definitionsSelector" .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Fails if two elements of a list have the same key: a list of the value's name, the key and the list. */ -}}
{{- define "checkUnique" -}}
{{- $name := index . 0 -}}
{{- $key := index . 1 -}}
{{- $seen := list -}}
{{- range index . 2 -}}
{{- $value := get . $key -}}
{{- if has $value $seen -}}
{{- fail (printf "%s: two elements have the %s %q" $name $key $value) -}}
{{- end -}}
{{- $seen = append $seen $value -}}
{{- end -}}
{{- end -}}
