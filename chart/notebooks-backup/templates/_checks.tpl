{{- /* What values must be to be installed at all; each refusal says what to write. */ -}}

{{- define "backup.checks" -}}
{{- include "notebooks.spelling" . -}}
{{- $problems := list -}}
{{- if not (or .Values.repository .Values.existingSecret (hasKey (default dict .Values.credentials) "repository")) -}}
{{- $problems = append $problems "repository is not set: restic's address, for example 'repository: sftp:backup@backup.example.org:notebooks'" -}}
{{- end -}}
{{- if and .Values.password .Values.existingSecret -}}
{{- $problems = append $problems "the password comes from password and from existingSecret: leave one of them" -}}
{{- else if not (or .Values.password .Values.existingSecret) -}}
{{- $problems = append $problems "password is not set: make one with 'openssl rand -hex 32', and keep a copy outside of this cluster; or name existingSecret" -}}
{{- end -}}
{{- if regexMatch "://[^/@]*:[^/@]*@" (default "" .Values.repository) -}}
{{- $problems = append $problems "repository holds a password: write the address as credentials.repository" -}}
{{- end -}}
{{- range $what := list "run" "check" "drill" -}}
{{- $problems = include "notebooks.scheduleProblems" (list (printf "%s.schedule" $what) (get $.Values $what).schedule "job.timeZone" $.Values.job.timeZone) | fromJsonArray | concat $problems -}}
{{- end -}}
{{- $problems = include "notebooks.patternProblems" (list "claims" .Values.claims) | fromJsonArray | concat $problems | uniq -}}
{{- with $problems -}}
{{- fail (printf "\n\nThe values of %s cannot be installed:\n  %s" $.Chart.Name (join "\n  " .)) -}}
{{- end -}}
{{- end -}}
