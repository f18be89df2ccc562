{{- /* What all charts here share. The copies in their templates/ are written by `make docs`. */ -}}

{{- /* The name of this release's objects; short enough for a CronJob's pods. */ -}}
{{- define "notebooks.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- default $full .Values.fullnameOverride | trunc 42 | trimSuffix "-" -}}
{{- end -}}

{{- /* Labels that select pods; they must never change during a release's life. */ -}}
{{- define "notebooks.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- /* Labels of every object. */ -}}
{{- define "notebooks.labels" -}}
{{ include "notebooks.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: egi-notebooks
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* An object's metadata: (dict "root" $ "name" … "component" … "labels" … "annotations" …), all but
root as needed. Labels and annotations of the operator are merged, never written a second time: keys
that come twice are an error of YAML. What selects pods cannot be changed by them. */ -}}
{{- define "notebooks.metadata" -}}
name: {{ default (include "notebooks.fullname" .root) .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "notebooks.merged" . | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The same of a pod, with podLabels and podAnnotations. */ -}}
{{- define "notebooks.podMetadata" -}}
labels:
  {{- $labels := merge (deepCopy (default dict .labels)) (default dict .root.Values.podLabels) }}
  {{- include "notebooks.merged" (set (omit . "labels") "labels" $labels) | nindent 2 }}
{{- with merge (deepCopy (default dict .annotations)) (default dict .root.Values.podAnnotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "notebooks.merged" -}}
{{- $labels := include "notebooks.labels" .root | fromYaml -}}
{{- with .component }}{{ $_ := set $labels "app.kubernetes.io/component" . }}{{ end -}}
{{- merge $labels (default dict .labels) (default dict .root.Values.commonLabels) | toYaml -}}
{{- end -}}

{{- /* A probe with what the operator changes of it: (list $ "liveness" defaults) */ -}}
{{- define "notebooks.probe" -}}
{{- $changed := get (default dict (index . 0).Values.probes) (index . 1) -}}
{{- mergeOverwrite (deepCopy (index . 2)) (default dict $changed) | toYaml -}}
{{- end -}}

{{- /* The image, as digest if there is one; `global.imageRegistry` goes before names without one. */ -}}
{{- define "notebooks.image" -}}
{{- $image := .Values.image -}}
{{- $registry := get (default dict .Values.global) "imageRegistry" -}}
{{- $named := $image.repository -}}
{{- if $registry }}{{ $named = printf "%s/%s" $registry $named }}{{ end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $named $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $named (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- /* What keeps a pod within Pod Security "restricted", and without rights in the cluster. */ -}}
{{- define "notebooks.pod" -}}
serviceAccountName: {{ include "notebooks.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with concat (default list .Values.imagePullSecrets) (default list (get (default dict .Values.global) "imagePullSecrets")) }}
imagePullSecrets:
  {{- range . }}
  - name: {{ kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "name") . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "notebooks.securityContext" . | nindent 2 }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with get $.Values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- $own := dict "labelSelector" (dict "matchLabels" (include "notebooks.selector" $ | fromYaml)) }}
  {{- range . }}
  - {{- mergeOverwrite (deepCopy $own) . | toYaml | nindent 4 }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{- /* podSecurityContext, and what "restricted" asks for. A null leaves a key to the platform. */ -}}
{{- define "notebooks.securityContext" -}}
{{- $context := dict "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- range $key, $value := default dict .Values.podSecurityContext -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $context $key $value }}{{ end -}}
{{- end -}}
{{- set $context "runAsNonRoot" true | toYaml -}}
{{- end -}}

{{- /* Containers that run before the pod's own. */ -}}
{{- define "notebooks.initContainers" -}}
{{- with .Values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* A claim's spec, of the section `persistence`. A storage class of "" is one without provisioner, and
null is the cluster's default. */ -}}
{{- define "notebooks.claim" -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- if not (kindIs "invalid" .storageClass) }}
storageClassName: {{ .storageClass | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .size | quote }}
{{- end -}}

{{- /* The way to names, 5353 on OpenShift. */ -}}
{{- define "notebooks.dns" -}}
- ports: # names
    {{- range $port := list 53 5353 }}
    - {port: {{ $port }}, protocol: UDP}
    - {port: {{ $port }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{- /* Pods of Prometheus, of a section with `namespaces` and `pods`, as a policy's peer. */ -}}
{{- define "notebooks.prometheusPods" -}}
namespaceSelector:
  {{- default dict .namespaces | dict "matchLabels" | toYaml | nindent 2 }}
podSelector:
  matchLabels:
    {{- default (dict "app.kubernetes.io/name" "prometheus") .pods | toYaml | nindent 4 }}
{{- end -}}

{{- /* The port of an address. */ -}}
{{- define "notebooks.port" -}}
{{- $address := urlParse . -}}
{{- $usual := dict "http" "80" "https" "443" "postgresql" "5432" "postgresql+psycopg" "5432" -}}
{{- regexFind ":[0-9]+$" $address.host | trimPrefix ":" | default (get $usual $address.scheme) | default "443" -}}
{{- end -}}

{{- /* The image of a container, and its confinement. */ -}}
{{- define "notebooks.container" -}}
image: {{ include "notebooks.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- /* The alerts of files/alerts.yaml, about this release's namespace. */ -}}
{{- define "notebooks.alerts" -}}
{{- .Files.Get "files/alerts.yaml" | replace `namespace=~".*"` (printf "namespace=%q" .Release.Namespace) -}}
{{- end -}}

{{- define "notebooks.serviceAccount" -}}
{{- $account := .Values.serviceAccount -}}
{{- default ($account.create | ternary (include "notebooks.fullname" .) "default") $account.name -}}
{{- end -}}

{{- /* A generated secret's value, base64: as it is in the cluster, else new. (list $ secret key) */ -}}
{{- define "notebooks.generated" -}}
{{- $root := index . 0 -}}
{{- $there := lookup "v1" "Secret" $root.Release.Namespace (index . 1) -}}
{{- get (get (default dict $there) "data" | default dict) (index . 2) | default (randAlphaNum 48 | b64enc) -}}
{{- end -}}

{{- /*
Refuses values whose keys nobody reads, with the right spelling. The keys come from
files/keys.yaml (written by `make docs` from the schema), the old ones from files/renamed.yaml.
The schema cannot do it: its messages are Helm's, and know no other spelling.
*/ -}}
{{- define "notebooks.spelling" -}}
{{- $known := .Files.Get "files/keys.yaml" | fromYaml -}}
{{- $renamed := .Files.Get "files/renamed.yaml" | fromYaml -}}
{{- $state := dict "problems" list -}}
{{- $values := omit (deepCopy .Values) "global" "enabled" -}}
{{- include "notebooks.unknown" (dict "values" $values "path" "" "known" $known "renamed" $renamed "state" $state) -}}
{{- $nulls := dict "problems" list -}}
{{- include "notebooks.nulls" (dict "values" .Values "known" $known "state" $nulls) -}}
{{- with concat $nulls.problems (include "notebooks.nameProblems" . | fromJsonArray) -}}
{{- fail (printf "\n\nThe values of %s cannot be installed:\n  %s\n" $.Chart.Name (join "\n  " .)) -}}
{{- end -}}
{{- with $state.problems -}}
{{- fail (printf "\n\nThe values of %s have keys that it does not know:\n  %s\nAll keys: the README of the chart." $.Chart.Name (join "\n  " .)) -}}
{{- end -}}
{{- end -}}

{{- define "notebooks.unknown" -}}
{{- range $key, $value := .values -}}
{{- $path := printf "%s.%s" $.path $key | trimPrefix "." -}}
{{- if hasKey $.renamed $path -}}
{{- $_ := set $.state "problems" (append $.state.problems (printf "%s: %s" $path (get $.renamed $path))) -}}
{{- else if not (hasKey $.known $path) -}}
{{- $nearest := include "notebooks.nearest" (list $path (keys $.known | sortAlpha)) -}}
{{- $hint := empty $nearest | ternary "remove it" (printf "did you mean %s?" $nearest) -}}
{{- $section := and (kindIs "map" $value) (include "notebooks.below" (list $path $.renamed)) -}}
{{- if $section -}}
{{- include "notebooks.unknown" (merge (dict "values" $value "path" $path) (omit $ "values" "path")) -}}
{{- else -}}
{{- $_ := set $.state "problems" (append $.state.problems (printf "%s: %s" $path $hint)) -}}
{{- end -}}
{{- else if and (eq (get $.known $path | toString) "section") (kindIs "map" $value) -}}
{{- include "notebooks.unknown" (merge (dict "values" $value "path" $path) (omit $ "values" "path")) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Keys that were set to null, which takes them away, though the templates need them. */ -}}
{{- define "notebooks.nulls" -}}
{{- range $path, $about := .known -}}
{{- if or (kindIs "map" $about) (eq (toString $about) "section") -}}
{{- $steps := splitList "." $path -}}
{{- $at := $.values -}}
{{- range initial $steps }}{{ $at = get (kindIs "map" $at | ternary $at dict) . }}{{ end -}}
{{- $above := kindIs "map" $at | ternary $at (dict (last $steps) "not here") -}}
{{- if kindIs "invalid" (hasKey $above (last $steps) | ternary (get $above (last $steps)) nil) -}}
{{- $said := printf "%s is null, and it is a section: leave it out, or write what differs below it, for example '%s: {}'" $path $path -}}
{{- if kindIs "map" $about }}{{ $said = printf "%s is null: leave it out, or write for example '%s: %v'" $path $path $about.needed }}{{ end -}}
{{- $_ := set $.state "problems" (append $.state.problems $said) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What is wrong with names, users and the like, which all charts have; JSON. */ -}}
{{- define "notebooks.nameProblems" -}}
{{- $problems := list -}}
{{- range $key := list "nameOverride" "fullnameOverride" -}}
{{- with get $.Values $key -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" .) -}}
{{- $problems = append $problems (printf "%s is '%s', and names in Kubernetes have small letters, digits and '-' only, for example '%s: %s'" $key . $key (regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trimAll "-" | default "notebooks")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $context := default dict .Values.podSecurityContext -}}
{{- if eq (toString $context.runAsUser) "0" -}}
{{- $problems = append $problems "podSecurityContext.runAsUser is 0, and these pods never run as root: for example 'runAsUser: 10001'; or null, where the platform chooses (OpenShift)" -}}
{{- end -}}
{{- if has (default dict $context.seccompProfile).type (list "Unconfined") -}}
{{- $problems = append $problems "podSecurityContext.seccompProfile.type is Unconfined: leave it out, or write RuntimeDefault or Localhost" -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* What is wrong with a schedule and its time zone, which the cluster would refuse only when it is
installed, or never start: (list "push.schedule" schedule "push.timeZone" zone), JSON. */ -}}
{{- define "notebooks.scheduleProblems" -}}
{{- $problems := list -}}
{{- $each := "(%[1]s(-%[1]s)?|[*?])(/[0-9]+)?" -}}
{{- $fields := list "[0-5]?[0-9]" "([01]?[0-9]|2[0-3])" "(0?[1-9]|[12][0-9]|3[01])" "(0?[1-9]|1[0-2]|[a-zA-Z]{3})" "([0-6]|[a-zA-Z]{3})" -}}
{{- $patterns := list -}}
{{- range $fields }}{{ $one := printf $each . }}{{ $patterns = append $patterns (printf "%s(,%s)*" $one $one) }}{{ end -}}
{{- $schedule := printf "^%s$" (join "[ \\t]+" $patterns) -}}
{{- $given := trim (toString (index . 1)) -}}
{{- if not (or (regexMatch $schedule $given) (has $given (list "@yearly" "@annually" "@monthly" "@weekly" "@daily" "@midnight" "@hourly")) (regexMatch "^@every [0-9]+[hms]" $given)) -}}
{{- $problems = append $problems (printf "%s is '%s', which is no schedule of cron: minute, hour, day, month, day of the week, for example '42 1 * * *' for every night" (index . 0) $given) -}}
{{- end -}}
{{- $zone := toString (default "" (index . 3)) -}}
{{- $known := list "" "UTC" "UCT" "Zulu" "Universal" "Etc/UTC" "Etc/UCT" "Etc/Zulu" "Etc/Universal" -}}
{{- $day := toDate "2006-01-02" "2026-01-15" -}}
{{- /* An unknown zone counts as UTC, and so would all of them where Helm finds no list of zones. */ -}}
{{- $canTell := ne (dateInZone "MST" $day "Europe/Prague") "UTC" -}}
{{- if and (not (has $zone $known)) (or (eq $zone "Local") (and $canTell (eq (dateInZone "MST" $day $zone) "UTC"))) -}}
{{- $problems = append $problems (printf "%s is '%s', which is no time zone: for example 'Europe/Prague' or 'Etc/UTC'" (index . 2) $zone) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* What is wrong with a regular expression: (list "prometheus.pod" expression), JSON. Look-around is
Python's, and cannot be tried here. */ -}}
{{- define "notebooks.patternProblems" -}}
{{- $given := toString (default "" (index . 1)) -}}
{{- if or (regexMatch "\\(\\?(=|!|<[=!])" $given) (regexMatch (printf "%s|" $given) "") -}}
[]
{{- else -}}
{{- list (printf "%s is '%s', which is no regular expression (a bracket or parenthesis left open?): for example 'jupyter-.*'" (index . 0) $given) | toJson -}}
{{- end -}}
{{- end -}}

{{- /* Whether a cluster is there to be asked: `helm template` and Argo CD ask none. */ -}}
{{- define "notebooks.hasCluster" -}}
{{- if or (lookup "v1" "ServiceAccount" .Release.Namespace "default") (lookup "v1" "Namespace" "" .Release.Namespace) }}yes{{ end -}}
{{- end -}}

{{- /* Whether any key of a map lies below a path: (list path map) */ -}}
{{- define "notebooks.below" -}}
{{- $path := index . 0 -}}
{{- range $key, $_ := index . 1 }}{{ if hasPrefix (printf "%s." $path) $key }}yes{{ end }}{{ end -}}
{{- end -}}

{{- /* The name that shares most pairs of letters with a word, if half of them: (list word names) */ -}}
{{- define "notebooks.nearest" -}}
{{- $word := include "notebooks.pairs" (index . 0) | splitList " " -}}
{{- $best := dict "score" 49 "name" "" -}}
{{- range $name := index . 1 -}}
{{- $pairs := include "notebooks.pairs" $name | splitList " " -}}
{{- $shared := 0 -}}
{{- range $pair := $word }}{{ if has $pair $pairs }}{{ $shared = add1 $shared }}{{ end }}{{ end -}}
{{- $score := div (mul 200 $shared) (add (len $word) (len $pairs)) -}}
{{- if gt (int $score) (int $best.score) }}{{ $_ := set $best "score" $score }}{{ $_ := set $best "name" $name }}{{ end -}}
{{- end -}}
{{- $best.name -}}
{{- end -}}

{{- define "notebooks.pairs" -}}
{{- $text := regexReplaceAll "[^a-z0-9]" (lower .) "" -}}
{{- $pairs := list -}}
{{- range $i := until (max 0 (sub (len $text) 1) | int) -}}
{{- $pairs = append $pairs (substr $i (int (add $i 2)) $text) -}}
{{- end -}}
{{- join " " (uniq $pairs) -}}
{{- end -}}
