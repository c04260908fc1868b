{{- define "fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* The labels and annotations of an object: a list of the root, more labels and more annotations. The labels of the
chart override commonLabels, and more labels override both. */ -}}
{{- define "metadata" -}}
{{- $root := index . 0 -}}
{{- $own := include "selectorLabels" $root | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" $root.Release.Service -}}
labels: {{- include "union" (list $root.Values.commonLabels $own (index (append . dict) 1)) | nindent 2 }}
{{- $annotations := list $root.Values.commonAnnotations (index (concat . (list dict dict)) 2) }}
{{- with include "union" $annotations }}
annotations: {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The entries of several maps as YAML. Later maps override earlier ones. */ -}}
{{- define "union" -}}
{{- $union := dict -}}
{{- range . -}}
{{- range $key, $value := . -}}
{{- $_ := set $union $key $value -}}
{{- end -}}
{{- end -}}
{{- with $union -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{- define "serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "definitionsNamespace" -}}
{{- default .Release.Namespace .Values.configMaps.namespace -}}
{{- end -}}

{{- define "definitionsSelector" -}}
{{- $pairs := list -}}
{{- range $key, $value := .Values.configMaps.matchLabels -}}
{{- $pairs = append $pairs (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{- /* The name of the Secret with the certificate, in every mode. */ -}}
{{- define "tlsSecret" -}}
{{- $own := printf "%s-tls" (include "fullname" .) -}}
{{- if eq .Values.tls.mode "selfManaged" -}}
{{- default $own .Values.tls.selfManaged.secretName -}}
{{- else if eq .Values.tls.mode "secret" -}}
{{- required "tls.secret.name is required with tls.mode secret: the Secret with tls.crt and tls.key" .Values.tls.secret.name -}}
{{- else -}}
{{- printf "%s-cert" (include "fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "dnsName" -}}
{{- printf "%s.%s.svc" (include "fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "webhookAnnotations" -}}
{{- $own := dict -}}
{{- if eq .Values.tls.mode "certManager" -}}
{{- $_ := set $own "cert-manager.io/inject-ca-from" (printf "%s/%s" .Release.Namespace (include "fullname" .)) -}}
{{- end -}}
{{- include "union" (list .Values.webhook.annotations $own) -}}
{{- end -}}

{{- define "clientConfig" -}}
service:
  namespace: {{ .root.Release.Namespace | quote }}
  name: {{ include "fullname" .root }}
  path: {{ .path }}
  port: {{ .root.Values.service.port }}
{{- if eq .root.Values.tls.mode "secret" }}
caBundle: {{ required "tls.secret.caBundle is required with tls.mode secret: the CA, as PEM" .root.Values.tls.secret.caBundle | b64enc }}
{{- end }}
{{- end -}}

{{- /* A CEL expression: the pod has the annotation request. */ -}}
{{- define "requested" -}}
has(object.metadata.annotations) && '{{ .Values.annotationNamespace }}/request' in object.metadata.annotations
{{- end -}}

{{- /* The namespaceSelector for pods that request no sidecars themselves. */ -}}
{{- define "defaultsSelector" -}}
{{- with .Values.namespaceDefaults.namespaceSelector.matchLabels -}}
matchLabels: {{- toYaml . | nindent 2 }}
{{ end -}}
matchExpressions: {{- include "excluded" . | nindent 2 }}
{{- with .Values.namespaceDefaults.namespaceSelector.matchExpressions }}
{{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Selector expressions of the webhooks for pods and workloads: they exclude ignored namespaces. */ -}}
{{- define "excluded" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values:
  {{- range uniq (append .Values.ignoredNamespaces .Release.Namespace) }}
  - {{ . | quote }}
  {{- end }}
{{- range $key, $value := .Values.webhook.namespaceSelector.matchLabels }}
- key: {{ $key }}
  operator: In
  values: [{{ $value | quote }}]
{{- end }}
{{- with .Values.webhook.namespaceSelector.matchExpressions }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* A CEL expression: two objects differ only in the listed fields. dyn() compares every field that the API server knows. */ -}}
{{- define "unchanged" -}}
{{- $new := printf "dyn(%s)" (index . 0) -}}
{{- $old := printf "dyn(%s)" (index . 1) -}}
[{{ $new }}, {{ $old }}].all(m, m.all(k,
      k in {{ index . 2 | toJson }} || {{ $new }}[?k] == {{ $old }}[?k]))
{{- end -}}
