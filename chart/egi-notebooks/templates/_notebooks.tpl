{{- /* What all charts here share. The copies in their templates/ are written by `make docs`. */ -}}

{{- /* The name of this release's objects; short enough for a CronJob's pods. */ -}}
{{- define "notebooks.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- default $full .Values.fullnameOverride | trunc 42 | trimSuffix "-" -}}
{{- end -}}

{{- /* Labels that select pods; they must never change during a release's life. */ -}}
{{- define "notebooks.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* Labels of every object. */ -}}
{{- define "notebooks.labels" -}}
{{ include "notebooks.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: egi-notebooks
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
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
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
  {{- with .Values.podSecurityContext }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with get $.Values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
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
{{- else if and (eq (get $.known $path) "section") (kindIs "map" $value) -}}
{{- include "notebooks.unknown" (merge (dict "values" $value "path" $path) (omit $ "values" "path")) -}}
{{- end -}}
{{- end -}}
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
