{{- define "image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository -}}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end -}}
{{- end -}}
{{- end -}}

{{- /* A part of the memory limit for the Go runtime, which then collects garbage before the kernel kills the process.
Empty without a limit, or if extraEnv has the variable. */ -}}
{{- define "goMemLimit" -}}
{{- $limit := ((.Values.resources).limits).memory -}}
{{- $units := dict "" 1 "k" 1e3 "Ki" 1024 "M" 1e6 "Mi" 1048576 "G" 1e9 "Gi" 1073741824 "T" 1e12 "Ti" 1099511627776 -}}
{{- $number := $limit -}}
{{- $unit := "" -}}
{{- if kindIs "string" $limit -}}
{{- $number = regexFind "^[0-9]+([.][0-9]+)?" $limit -}}
{{- $unit = trimPrefix $number $limit -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if eq .name "GOMEMLIMIT" -}}
{{- $number = "" -}}
{{- end -}}
{{- end -}}
{{- if and $number (hasKey $units $unit) -}}
{{- $mebibytes := divf (mulf $number (get $units $unit) .Values.goMemLimitPercent) 104857600 | floor -}}
{{- if ge $mebibytes 1.0 -}}
{{- printf "%.0fMiB" $mebibytes -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Fails with a clear text where the schema cannot check. */ -}}
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
