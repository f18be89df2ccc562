{{- define "monitoring.alerts" }}{{ include "notebooks.alerts" . }}{{ end -}}
