{{- /* The alerts; without delivery, none about it. */ -}}
{{- define "accounting.alerts" -}}
{{- $alerts := include "notebooks.alerts" . | fromYaml -}}
{{- $groups := list -}}
{{- range $alerts.groups -}}
{{- if or (include "accounting.delivers" $) (ne .name "notebooks-accounting-delivery") }}{{ $groups = append $groups . }}{{ end -}}
{{- end -}}
{{- toYaml (dict "groups" $groups) -}}
{{- end -}}
