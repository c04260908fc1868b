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
