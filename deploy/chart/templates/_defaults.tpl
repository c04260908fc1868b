{{- /* The defaults of values.yaml whose absence would break a template. A value is missing after --set KEY=null, and
after an upgrade with --reuse-values from a release without it. Other missing values count as empty. */ -}}
{{- define "defaults" -}}
image:
  repository: k8s-sidecar-injector
  pullPolicy: IfNotPresent
replicas: 2
annotationNamespace: injector.tumblr.com
onUnknown: admit
onConflict: deny
ignoredNamespaces: [kube-system, kube-public, kube-node-lease]
log: {level: info, format: json}
events: {enabled: false}
configMaps:
  matchLabels: {app: k8s-sidecar-injector}
privilegedSources: [files]
tls:
  mode: selfManaged
  selfManaged: {lifetime: 2160h, caLifetime: 43800h}
  certManager: {duration: 2160h, renewBefore: 720h}
  secret: {}
webhook:
  failurePolicy: Ignore
  timeoutSeconds: 5
  reinvocationPolicy: IfNeeded
  namespaceSelector: {}
namespaceDefaults:
  enabled: false
  failurePolicy: Ignore
  namespaceSelector:
    matchLabels: {sidecar-injector/defaults: enabled}
validation: {enabled: true, failurePolicy: Ignore}
workloads: {enabled: true}
safetyNet: {enabled: true, action: [Warn, Audit]}
serviceAccount: {create: true}
rbac: {create: true}
service: {port: 443}
ports: {webhook: 9443, lifecycle: 9000}
goMemLimitPercent: 90
drainDelay: 10s
terminationGracePeriodSeconds: 30
podDisruptionBudget: {enabled: true, maxUnavailable: 1}
networkPolicy: {enabled: true, apiServerPorts: [443, 6443]}
autoscaling: {enabled: false, minReplicas: 2, maxReplicas: 6, targetCPUUtilizationPercentage: 80}
serviceMonitor: {enabled: false, interval: 30s}
podMonitor: {enabled: false, interval: 30s}
prometheusRule: {enabled: false, runbookURL: docs/runbook.md}
dashboard: {enabled: false, labels: {grafana_dashboard: "1"}}
test: {enabled: true, namespace: default}
{{- end -}}

{{- /* Adds missing defaults to .Values. Each template includes it first. */ -}}
{{- define "addDefaults" -}}
{{- include "addMissing" (list .Values (include "defaults" . | fromYaml)) -}}
{{- end -}}

{{- /* Adds missing keys to a map, also in nested maps. Selectors are complete or missing. */ -}}
{{- define "addMissing" -}}
{{- $values := index . 0 -}}
{{- range $key, $default := index . 1 -}}
{{- $value := get $values $key -}}
{{- if or (not (hasKey $values $key)) (kindIs "invalid" $value) -}}
{{- $_ := set $values $key $default -}}
{{- else if and (kindIs "map" $default) (not (has $key (list "matchLabels" "namespaceSelector"))) -}}
{{- include "addMissing" (list $value $default) -}}
{{- end -}}
{{- end -}}
{{- end -}}
