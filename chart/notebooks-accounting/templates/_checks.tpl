{{- /* What values must be to be installed at all; each refusal says what to write. No value that is
secret is repeated: a schema's message would. */ -}}

{{- define "accounting.checks" -}}
{{- include "notebooks.spelling" . -}}
{{- $problems := list -}}
{{- $ssm := .Values.ssm -}}
{{- if not .Values.siteName -}}
{{- $problems = append $problems "siteName is not set: the site's name in GOCDB, for example 'siteName: EGI-NOTEBOOKS'" -}}
{{- else if not (regexMatch "^[A-Za-z0-9][A-Za-z0-9._-]*$" .Values.siteName) -}}
{{- $problems = append $problems "siteName is not a GOCDB site name: letters, digits, '.', '_' and '-'" -}}
{{- end -}}
{{- $sources := list -}}
{{- if or $ssm.hostcert $ssm.hostkey }}{{ $sources = append $sources "ssm.hostcert and ssm.hostkey" }}{{ end -}}
{{- if $ssm.existingSecret.name }}{{ $sources = append $sources "ssm.existingSecret" }}{{ end -}}
{{- if $ssm.certManager.enabled }}{{ $sources = append $sources "ssm.certManager" }}{{ end -}}
{{- if gt (len $sources) 1 -}}
{{- $problems = append $problems (printf "the certificate comes from %s: leave one of them" (join " and from " $sources)) -}}
{{- else if and (not $sources) (eq (include "accounting.signs" .) "yes") -}}
{{- $problems = append $problems "ssm.hostcert and ssm.hostkey are not set: the certificate (PEM) registered in GOCDB and its key; or name ssm.existingSecret; or set push.enabled to false to measure only" -}}
{{- end -}}
{{- if or $ssm.hostcert $ssm.hostkey -}}
{{- if contains "PRIVATE KEY" $ssm.hostcert -}}
{{- $problems = append $problems "ssm.hostcert holds a key: certificates belong there, the key belongs into ssm.hostkey" -}}
{{- else if not (contains "-----BEGIN CERTIFICATE-----" $ssm.hostcert) -}}
{{- $problems = append $problems "ssm.hostcert holds no '-----BEGIN CERTIFICATE-----': give the certificate as PEM, below 'hostcert: |-'" -}}
{{- end -}}
{{- if contains "ENCRYPTED" $ssm.hostkey -}}
{{- $problems = append $problems "ssm.hostkey has a passphrase: take it off with 'openssl pkey -in hostkey.pem'" -}}
{{- else if not (contains "PRIVATE KEY-----" $ssm.hostkey) -}}
{{- $problems = append $problems "ssm.hostkey holds no 'PRIVATE KEY': give the certificate's key as PEM, below 'hostkey: |-'" -}}
{{- end -}}
{{- end -}}
{{- if and $ssm.certManager.enabled (not $ssm.certManager.issuerRef.name) -}}
{{- $problems = append $problems "ssm.certManager.issuerRef.name is not set: the issuer that cert-manager is to ask" -}}
{{- end -}}
{{- include "accounting.databaseChecks" (dict "root" . "problems" $problems) | fromJsonArray | join "\n  " | include "accounting.refuse" -}}
{{- end -}}

{{- define "accounting.databaseChecks" -}}
{{- $problems := .problems -}}
{{- with .root -}}
{{- $url := .Values.database.url -}}
{{- if and $url (not (regexMatch "^postgresql([+]psycopg)?://" $url)) -}}
{{- $problems = append $problems "database.url is no address such as postgresql://USER@HOST/DATABASE; leave it empty for SQLite" -}}
{{- else if regexMatch "://[^/]*:[^/@]*@" $url -}}
{{- $problems = append $problems "database.url holds a password, which would be readable in the ConfigMap: give it as database.password, or in a Secret that database.passwordSecret names" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (include "accounting.isStateful" .) -}}
{{- $problems = append $problems "replicas is more than 1, but a volume with SQLite or a spool serves one pod: set database.url to PostgreSQL (and ssm.transport to ams), or replicas to 1" -}}
{{- end -}}
{{- $pod := printf "^(?:%s)$" (default "jupyter-.*" .Values.prometheus.pod) -}}
{{- if and (eq (include "accounting.namespace" .) .Release.Namespace) (regexMatch $pod (printf "%s-0" (include "notebooks.fullname" .))) -}}
{{- $problems = append $problems (printf "pods of '%s' would be accounted as notebooks, for prometheus.pod matches their names: choose another release name, or set fullnameOverride" (include "notebooks.fullname" .)) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "accounting.refuse" -}}
{{- if . }}{{ fail (printf "\n\nThe values of notebooks-accounting cannot be installed:\n  %s\n" .) }}{{ end -}}
{{- end -}}

{{- /* Whether records are delivered: by the job, or by the service itself. */ -}}
{{- define "accounting.delivers" -}}
{{- if or .Values.push.enabled (regexMatch "[1-9]" (toString .Values.ssm.interval)) }}yes{{ end -}}
{{- end -}}

{{- /* Whether messages are signed here, so that the certificate is needed. */ -}}
{{- define "accounting.signs" -}}
{{- if and (include "accounting.delivers" .) (eq (default "ams" .Values.ssm.transport) "ams") }}yes{{ end -}}
{{- end -}}
