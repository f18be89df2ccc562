{{- /* The program's settings file, from the values; and what its pods have in common. */ -}}

{{- define "backup.secret" -}}
{{- default (include "notebooks.fullname" .) .Values.existingSecret -}}
{{- end -}}

{{- define "backup.status" -}}{{ include "notebooks.fullname" . }}-status{{- end -}}

{{- define "backup.settings" -}}
{{- $given := dict -}}
{{- range $key := list "repository" "claims" "exclude" "include" "keep" "options" "checkParts" "lockWait" "parallel" "volumeTimeout" "startTimeout" "drillClaims" "userId" "groupId" "workerResources" -}}
{{- $value := get $.Values $key -}}
{{- if and (hasKey $.Values $key) (not (kindIs "invalid" $value)) (or (not (kindIs "map" $value)) $value) -}}
{{- $_ := set $given (snakecase $key) $value -}}
{{- end -}}
{{- end -}}

{{- $pulled := list -}}
{{- range concat (default list .Values.imagePullSecrets) (default list (get (default dict .Values.global) "imagePullSecrets")) -}}
{{- $pulled = append $pulled (kindIs "map" . | ternary . (dict "name" .)) -}}
{{- end -}}
{{- $worker := deepCopy (default dict .Values.worker) -}}
{{- with $pulled }}{{ $_ := set $worker "imagePullSecrets" . }}{{ end -}}
{{- $own := dict
  "namespace" (default .Release.Namespace .Values.namespace)
  "image" (include "notebooks.image" .)
  "secret_name" (include "backup.secret" .)
  "status_configmap" (include "backup.status" .)
  "worker" $worker
-}}
{{- mergeOverwrite $given $own | toYaml -}}
{{- end -}}

{{- /* A job's pod without what makes it this job: (list $ arguments) */ -}}
{{- define "backup.job" -}}
{{- $root := index . 0 -}}
{{- include "notebooks.pod" $root }}
restartPolicy: Never
{{- if and $root.Values.initialize (has "run" (index . 1)) }}
initContainers:
  - name: init
    {{- include "notebooks.container" $root | nindent 4 }}
    args: [init]
    {{- include "backup.environment" $root | nindent 4 }}
{{- end }}
containers:
  - name: backup
    {{- include "notebooks.container" $root | nindent 4 }}
    args:
      {{- toYaml (index . 1) | nindent 6 }}
    {{- include "backup.environment" $root | nindent 4 }}
volumes:
  - name: settings
    configMap: {name: {{ include "notebooks.fullname" $root }}}
  - name: secret
    secret: {secretName: {{ include "backup.secret" $root }}, defaultMode: 0440}
  - name: account # the pod's own rights, for the containers that use them
    projected:
      defaultMode: 0440
      sources:
        - serviceAccountToken: {path: token, expirationSeconds: 3600}
        - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
        - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
  - name: tmp
    emptyDir: {sizeLimit: 2Gi}
{{- end -}}

{{- define "backup.environment" -}}
env:
  - {name: HOME, value: /tmp}
  - {name: NOTEBOOKS_BACKUP_CONFIG, value: /etc/notebooks-backup/settings.yaml}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - {name: settings, mountPath: /etc/notebooks-backup, readOnly: true}
  - {name: secret, mountPath: /run/secrets/notebooks-backup, readOnly: true}
  - {name: account, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- end -}}
