{{- /* The alerts; without the exporter there is nothing to alert on. */ -}}
{{- define "backup.alerts" -}}
{{- if .Values.exporter.enabled }}{{ include "notebooks.alerts" . }}{{ end -}}
{{- end -}}
