{{- /* What values must be to be installed at all; each refusal says what to write. */ -}}

{{- define "monitoring.checks" -}}
{{- include "notebooks.spelling" . -}}
{{- $problems := list -}}
{{- if not .Values.hubUrl -}}
{{- $problems = append $problems "hubUrl is not set: the hub's address as users have it, for example 'hubUrl: https://notebooks.example.org'" -}}
{{- end -}}
{{- with .Values.server -}}
{{- if not (regexMatch "^[a-z][a-z0-9-]{0,29}$" .) -}}
{{- $problems = append $problems "server is no name of a server: small letters, digits and '-', 30 at most" -}}
{{- end -}}
{{- end -}}
{{- with $problems -}}
{{- fail (printf "\n\nThe values of %s cannot be installed:\n  %s" $.Chart.Name (join "\n  " .)) -}}
{{- end -}}
{{- end -}}
