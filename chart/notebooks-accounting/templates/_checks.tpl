{{- /* What values must be to be installed at all; each refusal says what to write. No value that is
secret is repeated: a schema's message would. */ -}}

{{- define "accounting.checks" -}}
{{- include "notebooks.spelling" . -}}
{{- $problems := list -}}
{{- $ssm := .Values.ssm -}}
{{- $cert := default "" $ssm.hostcert -}}
{{- $key := default "" $ssm.hostkey -}}
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
{{- if or $cert $key -}}
{{- if contains "PRIVATE KEY" $cert -}}
{{- $problems = append $problems "ssm.hostcert holds a key: certificates belong there, the key belongs into ssm.hostkey" -}}
{{- else if not (contains "-----BEGIN CERTIFICATE-----" $cert) -}}
{{- $problems = append $problems "ssm.hostcert holds no '-----BEGIN CERTIFICATE-----': give the certificate as PEM, below 'hostcert: |-'" -}}
{{- end -}}
{{- if contains "ENCRYPTED" $key -}}
{{- $problems = append $problems "ssm.hostkey has a passphrase: take it off with 'openssl pkey -in hostkey.pem'" -}}
{{- else if not (contains "PRIVATE KEY-----" $key) -}}
{{- $problems = append $problems "ssm.hostkey holds no 'PRIVATE KEY': give the certificate's key as PEM, below 'hostkey: |-'" -}}
{{- end -}}
{{- end -}}
{{- if and $ssm.certManager.enabled (not $ssm.certManager.issuerRef.name) -}}
{{- $problems = append $problems "ssm.certManager.issuerRef.name is not set: the issuer that cert-manager is to ask" -}}
{{- end -}}
{{- $problems = include "accounting.clusterChecks" . | fromJsonArray | concat $problems -}}
{{- $problems = include "accounting.formChecks" . | fromJsonArray | concat $problems -}}
{{- $problems = include "accounting.settingsChecks" . | fromJsonArray | concat $problems -}}
{{- $problems = include "accounting.outletChecks" . | fromJsonArray | concat $problems -}}
{{- include "accounting.databaseChecks" (dict "root" . "problems" $problems) | fromJsonArray | join "\n  " | include "accounting.refuse" -}}
{{- end -}}

{{- /* Values that the schema takes and that fail only later: in the cluster, or in the program. */ -}}
{{- define "accounting.formChecks" -}}
{{- $problems := include "notebooks.scheduleProblems" (list "push.schedule" .Values.push.schedule "push.timeZone" .Values.push.timeZone) | fromJsonArray -}}
{{- range $field, $given := dict "prometheus.pod" .Values.prometheus.pod "hub.managerGroup" .Values.hub.managerGroup -}}
{{- $problems = include "notebooks.patternProblems" (list $field $given) | fromJsonArray | concat $problems -}}
{{- end -}}
{{- range $field, $map := dict "vo.map" .Values.vo.map "vo.privacy" .Values.vo.privacy -}}
{{- range $pattern, $_ := default dict $map -}}
{{- $problems = include "notebooks.patternProblems" (list $field $pattern) | fromJsonArray | concat $problems -}}
{{- end -}}
{{- end -}}
{{- if and .Values.hub.managerGroup (not (contains "(?P<vo>" .Values.hub.managerGroup)) -}}
{{- $problems = append $problems "hub.managerGroup captures no VO: for example 'urn:example:group:(?P<vo>[^:]+):role=manager'" -}}
{{- end -}}
{{- $problems = include "accounting.hostChecks" . | fromJsonArray | concat $problems -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- $problems = append $problems "httpRoute.parentRefs is empty: the gateway, for example 'parentRefs: [{name: public, namespace: gateways}]'" -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* Whether browsers find the service, and the hub from there. */ -}}
{{- define "accounting.hostChecks" -}}
{{- $problems := list -}}
{{- $host := include "accounting.host" . -}}
{{- $hub := .Values.hub -}}
{{- $public := include "accounting.ofHub" (list . "publicUrl") -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) (not $host) -}}
{{- $problems = append $problems "ingress.hosts is empty, and host is not set: the service's host name, for example 'host: accounting.example.org'" -}}
{{- end -}}
{{- if $host -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" $host) -}}
{{- $problems = append $problems (printf "host is '%s', and it is a host name alone, in small letters: for example 'host: accounting.example.org'" $host) -}}
{{- end -}}
{{- if and $hub.enabled (not $public) -}}
{{- $problems = append $problems "hub.publicUrl is not set, and host is: from there, people are sent to the hub to log in, for example 'publicUrl: https://notebooks.example.org/hub'" -}}
{{- else if and $hub.enabled (eq $host (include "accounting.hubHost" .)) -}}
{{- $problems = append $problems (printf "host is %s, which is the hub's (hub.publicUrl): notebooks are there, so the service needs another, for example 'host: accounting.%s'" $host $host) -}}
{{- end -}}
{{- if and $hub.enabled (eq "shared" (include "accounting.origin" .)) -}}
{{- $problems = append $problems "host is set, and hub.origin is shared: leave one of them out" -}}
{{- end -}}
{{- else if and $hub.enabled (not (include "accounting.origin" .)) (not (include "accounting.ofHub" (list . "callbackUrl"))) -}}
{{- $problems = append $problems "nobody knows where people find the pages: write hub.publicUrl, the hub's address as browsers see it, such as https://notebooks.example.org/hub: the pages are then at accounting.notebooks.example.org (or name another with host), with an Ingress of their own, and the hub must know that address (docs/install.md). To keep them at /services/accounting/ of the hub, where everybody sees only their own usage, write hub.origin: shared" -}}
{{- end -}}
{{- if and $host (not .Values.host) (not (include "accounting.ofHub" (list . "origin"))) -}}
{{- $before := lookup "v1" "ConfigMap" .Release.Namespace (include "notebooks.fullname" .) | default dict -}}
{{- $before = get (default dict $before.data) "settings.yaml" | default "" -}}
{{- if and (contains "public_url:" $before) (not (contains "origin:" $before)) -}}
{{- $problems = append $problems (printf "so far, the pages are at /services/accounting/ of the hub, and now they would be at %s: write host: %s if that name leads to the ingress and the hub knows the address (docs/install.md), or hub.origin: shared to leave all as it is" $host $host) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* Keys below `settings` that the program does not know, and values of another type than theirs. */ -}}
{{- define "accounting.settingsChecks" -}}
{{- $about := .Files.Get "files/settings.yaml" | fromYaml -}}
{{- $known := keys $about | sortAlpha -}}
{{- $problems := list -}}
{{- range $key, $value := default dict .Values.settings -}}
{{- $below := dict "" $value -}}
{{- if and (kindIs "map" $value) (not (has $key $known)) }}{{ $below = $value }}{{ end -}}
{{- range $name, $given := $below -}}
{{- $path := printf "%s.%s" $key $name | trimSuffix "." -}}
{{- if not (has $path $known) -}}
{{- $nearest := include "notebooks.nearest" (list $path $known) -}}
{{- $hint := empty $nearest | ternary "remove it" (printf "did you mean settings.%s?" $nearest) -}}
{{- $problems = append $problems (printf "settings.%s is no setting of the program: %s All of them: docs/settings.md" $path $hint) -}}
{{- else if include "accounting.isOfOtherType" (list $given (index $about $path).is) -}}
{{- $example := (index $about $path).example -}}
{{- $shown := hasKey (index $about $path) "secret" | ternary "no text" (toJson $given) -}}
{{- if $example }}{{ $example = printf ", for example %s" $example }}{{ end -}}
{{- $problems = append $problems (printf "settings.%s is %s: it takes a %s%s" $path $shown (index $about $path).is $example) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* Whether a value is not of the type that a setting has: (value, type). What a program reads from its
environment is text, and so may these be. */ -}}
{{- define "accounting.isOfOtherType" -}}
{{- $given := index . 0 -}}
{{- $text := kindOf $given | eq "string" | ternary $given "" -}}
{{- $isNumber := has (kindOf $given) (list "int" "int64" "float64") -}}
{{- $fits := dict
  "boolean" (or (kindIs "bool" $given) (regexMatch "^(?i:true|false|yes|no|on|off|1|0)$" $text))
  "number" (or $isNumber (regexMatch "^[-+]?[0-9]+([.][0-9]+)?$" $text))
  "duration" (or (and $isNumber (ge (float64 $given) 0.0)) (regexMatch "^\\s*(([0-9]+([.][0-9]+)?[smhdw])+|[0-9]+([.][0-9]+)?)\\s*$" (lower $text)))
  "list" (or (kindIs "string" $given) (and (kindIs "slice" $given) (not (include "accounting.hasParts" $given))))
  "map" (or (kindIs "map" $given) (hasPrefix "{" (trim $text)))
  "text" (not (or (kindIs "map" $given) (kindIs "slice" $given)))
-}}
{{- if not (or (kindIs "invalid" $given) (index $fits (index . 1))) }}yes{{ end -}}
{{- end -}}

{{- /* Whether a list has lists or maps in it. */ -}}
{{- define "accounting.hasParts" -}}
{{- range . }}{{ if or (kindIs "map" .) (kindIs "slice" .) }}yes{{ end }}{{ end -}}
{{- end -}}

{{- /* What EOSC's accounting and GreenDIGIT's CIM cannot do without: the program would not start. */ -}}
{{- define "accounting.outletChecks" -}}
{{- $problems := list -}}
{{- if include "accounting.ofOutlet" (list . "eosc" "url") -}}
{{- range $key, $example := dict "tokenUrl" "https://aai.example.org/OIDC/token" "clientId" "notebooks" -}}
{{- if not (include "accounting.ofOutlet" (list $ "eosc" $key)) -}}
{{- $problems = append $problems (printf "eosc.url is set, and eosc.%s is not: for example '%s'" $key $example) -}}
{{- end -}}
{{- end -}}
{{- if not (or .Values.eosc.clientSecret.name (include "accounting.ofOutlet" (list . "eosc" "clientSecretFile"))) -}}
{{- $problems = append $problems "eosc.url is set, and eosc.clientSecret.name is not: make a Secret with the client's secret, 'kubectl create secret generic eosc --from-file=client-secret=FILE', and name it" -}}
{{- end -}}
{{- end -}}
{{- if include "accounting.ofOutlet" (list . "cim" "url") -}}
{{- if not (include "accounting.ofOutlet" (list . "cim" "email")) -}}
{{- $problems = append $problems "cim.url is set, and cim.email is not: the publisher's address, for example 'operator@example.org'" -}}
{{- end -}}
{{- if not (or .Values.cim.passwordSecret.name (include "accounting.ofOutlet" (list . "cim" "passwordFile"))) -}}
{{- $problems = append $problems "cim.url is set, and cim.passwordSecret.name is not: make a Secret with the publisher's password, 'kubectl create secret generic cim --from-file=password=FILE', and name it" -}}
{{- end -}}
{{- if not (dig "enabled" false (get (default dict .Values.settings) "energy" | default dict)) -}}
{{- $problems = append $problems "cim.url is set, and no energy is measured: write 'settings: {energy: {enabled: true}}'" -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* What can only be told with, or without, a cluster. */ -}}
{{- define "accounting.clusterChecks" -}}
{{- $problems := list -}}
{{- $pseudonyms := or (has "pseudonym" (values (default dict .Values.vo.privacy))) .Values.vo.userRetentionDays -}}
{{- if and $pseudonyms (not .Values.vo.pseudonymKeySecret.name) (not (include "notebooks.hasCluster" .)) -}}
{{- $problems = append $problems "vo.pseudonymKeySecret.name is not set, and this chart is rendered without a cluster (helm template, Argo CD): each time would make another key, and other pseudonyms of the same users. Make a Secret, 'kubectl create secret generic pseudonyms --from-literal=pseudonym-key=$(openssl rand -hex 32)', and name it" -}}
{{- end -}}
{{- if .Values.hub.enabled -}}
{{- $token := .Values.hub.tokenSecret -}}
{{- $there := lookup "v1" "Secret" .Release.Namespace $token.name | default dict -}}
{{- $of := get (default dict $there.metadata) "annotations" | default dict -}}
{{- if and $there (not (hasKey (default dict $there.data) $token.key)) (ne (get $of "meta.helm.sh/release-name") .Release.Name) -}}
{{- $problems = append $problems (printf "the Secret %s has no key %s: register the service at the hub first (hub.services.%s in the values of Zero to JupyterHub), or set hub.enabled to false" $token.name $token.key (default "accounting" .Values.hub.service)) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "accounting.databaseChecks" -}}
{{- $problems := .problems -}}
{{- with .root -}}
{{- $url := default "" .Values.database.url -}}
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
