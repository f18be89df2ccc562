{{- /* The program's settings file, from the values. */ -}}

{{- define "accounting.data" -}}/var/lib/notebooks-accounting{{- end -}}
{{- define "accounting.secrets" -}}/etc/notebooks-accounting/secrets{{- end -}}
{{- define "accounting.hostCertificate" -}}/etc/grid-security{{- end -}}

{{- define "accounting.namespace" -}}
{{- default .Release.Namespace .Values.prometheus.namespace -}}
{{- end -}}

{{- define "accounting.hubNamespace" -}}
{{- default (include "accounting.namespace" .) .Values.networkPolicy.hubNamespace -}}
{{- end -}}

{{- /* The first of Prometheus' usual Services that is there; the first of all without a cluster. */ -}}
{{- define "accounting.prometheus" -}}
{{- if .Values.prometheus.url -}}
{{- tpl .Values.prometheus.url . -}}
{{- else -}}
{{- $ports := dict "prometheus-operated" ":9090" "prometheus-k8s" ":9090" -}}
{{- $found := dict "name" "" -}}
{{- range $name := list "prometheus-server" (printf "%s-prometheus-server" .Release.Name) "prometheus-operated" "prometheus-k8s" "prometheus" -}}
{{- if and (not $found.name) (lookup "v1" "Service" $.Release.Namespace $name) }}{{ $_ := set $found "name" $name }}{{ end -}}
{{- end -}}
{{- $name := default "prometheus-server" $found.name -}}
{{- printf "http://%s.%s.svc%s" $name .Release.Namespace (dig $name "" $ports) -}}
{{- end -}}
{{- end -}}

{{- /* A setting of the hub's login: from `settings`, which win, or from `hub`. */ -}}
{{- define "accounting.ofHub" -}}
{{- $root := first . -}}
{{- $given := get (default dict $root.Values.settings) "hub" -}}
{{- $given = get (kindIs "map" $given | ternary $given dict) (snakecase (last .)) -}}
{{- $given | default (get $root.Values.hub (last .)) | default "" -}}
{{- end -}}

{{- /* The hub's host name, if its address as browsers see it is given and has one. */ -}}
{{- define "accounting.hubHost" -}}
{{- $host := regexReplaceAll ":[0-9]*$" (urlParse (include "accounting.ofHub" (list . "publicUrl"))).host "" | lower -}}
{{- if regexMatch "^([a-z0-9-]+[.])*[a-z0-9-]*[a-z][a-z0-9-]*$" $host }}{{ $host }}{{ end -}}
{{- end -}}

{{- /* The service's own host name: as given, or below the hub's; none where it shares the hub's. */ -}}
{{- define "accounting.host" -}}
{{- $hub := include "accounting.hubHost" . -}}
{{- if .Values.host -}}
{{- .Values.host -}}
{{- else if and .Values.hub.enabled $hub (has (include "accounting.ofHub" (list . "origin")) (list "" "own")) (not (include "accounting.ofHub" (list . "callbackUrl"))) -}}
accounting.{{ $hub }}
{{- end -}}
{{- end -}}

{{- /* Whether the service has a host name of its own; else its pages share the hub's. */ -}}
{{- define "accounting.origin" -}}
{{- include "accounting.ofHub" (list . "origin") | default (empty (include "accounting.host" .) | ternary "" "own") -}}
{{- end -}}

{{- define "accounting.isSqlite" -}}
{{- if not .Values.database.url }}yes{{ end -}}
{{- end -}}

{{- /* Whether the volume is needed: for SQLite, or for a spool. */ -}}
{{- define "accounting.isStateful" -}}
{{- if or (include "accounting.isSqlite" .) (and (eq (default "ams" .Values.ssm.transport) "dirq") (not .Values.ssm.dirqPath)) }}yes{{ end -}}
{{- end -}}

{{- /* The database's address. PostgreSQL's password is in a file: the environment of a process is shown
in more places. */ -}}
{{- define "accounting.database" -}}
{{- if include "accounting.isSqlite" . -}}
sqlite:///{{ include "accounting.data" . }}/accounting.db{{ if eq .Values.database.journal "delete" }}?journal=delete{{ end }}
{{- else -}}
{{- .Values.database.url -}}
{{- if include "accounting.hasPassword" . -}}
{{ contains "?" .Values.database.url | ternary "&" "?" }}password_file={{ include "accounting.secrets" . }}/database-password
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "accounting.hasPassword" -}}
{{- if or .Values.database.password .Values.database.passwordSecret.name }}yes{{ end -}}
{{- end -}}

{{- define "accounting.settings" -}}
{{- $settings := dict
  "site_name" .Values.siteName
  "database_url" (include "accounting.database" .)
-}}
{{- with .Values.cloudType }}{{ $_ := set $settings "cloud_type" . }}{{ end -}}
{{- with .Values.cloudComputeService }}{{ $_ := set $settings "cloud_compute_service" . }}{{ end -}}
{{- /* A key is the setting's name in other letters, unless it names the chart's own means. */ -}}
{{- $own := list "hostcert" "hostkey" "existingSecret" "certManager" "enabled" -}}
{{- range $group := list "prometheus" "poll" "vo" "record" "ssm" "eosc" "cim" "api" "hub" "log" -}}
{{- $given := dict -}}
{{- range $key, $value := get $.Values $group -}}
{{- if and (not (has $key $own)) (not (hasSuffix "Secret" $key)) (not (kindIs "invalid" $value)) (or (not (kindIs "map" $value)) $value) -}}
{{- $_ := set $given (snakecase $key) $value -}}
{{- end -}}
{{- end -}}
{{- if or (ne $group "hub") $.Values.hub.enabled }}{{ $_ := set $settings $group $given }}{{ end -}}
{{- end -}}
{{- $files := include "accounting.files" . | fromYaml -}}
{{- $settings := mergeOverwrite $settings $files (default dict .Values.settings) -}}
{{- toYaml $settings -}}
{{- end -}}

{{- /* A setting of an outlet, as the program gets it: from `settings`, which win, or from its own key:
(list root group key) */ -}}
{{- define "accounting.ofOutlet" -}}
{{- $given := get (default dict (index . 0).Values.settings) (index . 1) -}}
{{- $given = get (kindIs "map" $given | ternary $given dict) (snakecase (index . 2)) -}}
{{- $given | default (get (get (index . 0).Values (index . 1)) (index . 2)) | default "" -}}
{{- end -}}

{{- /* What the chart's own means become: paths of mounted files, and addresses. */ -}}
{{- define "accounting.files" -}}
{{- $secrets := include "accounting.secrets" . -}}
prometheus:
  url: {{ include "accounting.prometheus" . | quote }}
  namespace: {{ include "accounting.namespace" . | quote }}
  {{- if .Values.prometheus.tokenSecret.name }}
  token_file: {{ $secrets }}/prometheus-token
  {{- end }}
  {{- if .Values.prometheus.caSecret.name }}
  ca_file: {{ $secrets }}/prometheus-ca.crt
  {{- end }}
vo:
  pseudonym_key_file: {{ $secrets }}/pseudonym-key
ssm:
  hostcert: {{ include "accounting.hostCertificate" . }}/hostcert.pem
  hostkey: {{ include "accounting.hostCertificate" . }}/hostkey.pem
  {{- if .Values.ssm.servercertSecret.name }}
  servercert: {{ $secrets }}/servercert.pem
  {{- end }}
  {{- if .Values.ssm.caSecret.name }}
  ca_file: {{ $secrets }}/broker-ca.crt
  {{- end }}
  {{- if and (eq (default "ams" .Values.ssm.transport) "dirq") (not .Values.ssm.dirqPath) }}
  dirq_path: {{ include "accounting.data" . }}/spool
  {{- end }}
{{- if .Values.eosc.clientSecret.name }}
eosc:
  client_secret_file: {{ $secrets }}/eosc-client-secret
{{- end }}
{{- if .Values.cim.passwordSecret.name }}
cim:
  password_file: {{ $secrets }}/cim-password
{{- end }}
api:
  token_file: {{ $secrets }}/token
  job_token_file: {{ $secrets }}/job-token
  metrics_token_file: {{ $secrets }}/metrics-token
{{- if .Values.hub.enabled }}
hub:
  api_token_file: {{ $secrets }}/hub-token
  {{- if not .Values.hub.apiUrl }}
  api_url: http://hub.{{ include "accounting.hubNamespace" . }}.svc:8081/hub/api
  {{- end }}
  {{- with include "accounting.origin" . }}
  origin: {{ . }}
  {{- end }}
  {{- with include "accounting.host" . }}
  {{- if not $.Values.hub.callbackUrl }}
  callback_url: https://{{ . }}/oauth_callback
  {{- end }}
  {{- end }}
  {{- if not (or .Values.hub.prefix (eq "own" (include "accounting.origin" .))) }}
  prefix: /services/{{ default "accounting" .Values.hub.service }}/
  {{- end }}
{{- end }}
{{- end -}}
