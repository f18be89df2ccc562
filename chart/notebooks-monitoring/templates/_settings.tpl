{{- /* The program's settings file, from the values. */ -}}

{{- define "monitoring.prefix" -}}
{{- default (printf "%sservices/%s/" .Values.baseUrl .Values.serviceName) .Values.prefix -}}
{{- end -}}

{{- define "monitoring.settings" -}}
{{- $given := dict -}}
{{- range $key := list "hubUrl" "apiUrl" "user" "server" "options" "page" "cell" "answer" "kernel" "interval" "startDeadline" "pageDeadline" "kernelDeadline" "stopDeadline" "slow" "binderUrl" "stale" "historyDays" "openStatus" -}}
{{- $value := get $.Values $key -}}
{{- if and (hasKey $.Values $key) (not (kindIs "invalid" $value)) (or (not (kindIs "map" $value)) $value) -}}
{{- $_ := set $given (snakecase $key) $value -}}
{{- end -}}
{{- end -}}

{{- $own := dict
  "history_file" "/var/lib/notebooks-monitor/monitor.db"
  "api_token_file" "/run/secrets/notebooks-monitor/api-token"
  "token_file" "/run/secrets/notebooks-monitor/probe-token"
-}}
{{- mergeOverwrite $given $own | toYaml -}}
{{- end -}}
