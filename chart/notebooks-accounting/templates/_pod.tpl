{{- /* What the service's pod and the test's have in common. */ -}}

{{- define "accounting.env" -}}
- {name: ACCOUNTING_CONFIG, value: /etc/notebooks-accounting/settings/settings.yaml}
- {name: HOME, value: /tmp}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Directories, never single files (subPath): so renewed secrets arrive without a restart. */ -}}
{{- define "accounting.mounts" -}}
- {name: settings, mountPath: /etc/notebooks-accounting/settings, readOnly: true}
- {name: secrets, mountPath: {{ include "accounting.secrets" . }}, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if include "accounting.certificateSecret" . }}
- {name: host-certificate, mountPath: {{ include "accounting.hostCertificate" . }}, readOnly: true}
{{- end }}
{{- if include "accounting.isStateful" . }}
- {name: data, mountPath: {{ include "accounting.data" . }}}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "accounting.certificateSecret" -}}
{{- $ssm := .Values.ssm -}}
{{- if $ssm.existingSecret.name -}}
{{- $ssm.existingSecret.name -}}
{{- else if or $ssm.hostcert $ssm.certManager.enabled -}}
{{- include "notebooks.fullname" . }}-hostcert
{{- end -}}
{{- end -}}

{{- define "accounting.volumes" -}}
{{- $name := include "notebooks.fullname" . -}}
{{- $existing := .Values.ssm.existingSecret -}}
- name: settings
  configMap:
    name: {{ $name }}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- include "accounting.projected" (list .Values.api.tokenSecret "token" $name) | nindent 6 }}
      {{- include "accounting.projected" (list .Values.api.jobTokenSecret "job-token" $name) | nindent 6 }}
      {{- include "accounting.projected" (list .Values.api.metricsTokenSecret "metrics-token" $name) | nindent 6 }}
      {{- include "accounting.projected" (list .Values.vo.pseudonymKeySecret "pseudonym-key" $name) | nindent 6 }}
      {{- if .Values.hub.enabled }}
      {{- include "accounting.projected" (list .Values.hub.tokenSecret "hub-token" "") | nindent 6 }}
      {{- end }}
      {{- if include "accounting.hasPassword" . }}
      {{- include "accounting.projected" (list .Values.database.passwordSecret "database-password" $name) | nindent 6 }}
      {{- end }}
      {{- include "accounting.projected" (list .Values.prometheus.tokenSecret "prometheus-token" "") | nindent 6 }}
      {{- include "accounting.projected" (list .Values.prometheus.caSecret "prometheus-ca.crt" "") | nindent 6 }}
      {{- include "accounting.projected" (list .Values.ssm.servercertSecret "servercert.pem" "") | nindent 6 }}
      {{- include "accounting.projected" (list .Values.ssm.caSecret "broker-ca.crt" "") | nindent 6 }}
      {{- include "accounting.projected" (list .Values.eosc.clientSecret "eosc-client-secret" "") | nindent 6 }}
      {{- include "accounting.projected" (list .Values.cim.passwordSecret "cim-password" "") | nindent 6 }}
{{- with include "accounting.certificateSecret" . }}
- name: host-certificate
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: {{ $existing.name | empty | ternary "tls.crt" $existing.certificateKey }}
        path: hostcert.pem
      - key: {{ $existing.name | empty | ternary "tls.key" $existing.keyKey }}
        path: hostkey.pem
{{- end }}
{{- if include "accounting.isStateful" . }}
- name: data
  persistentVolumeClaim:
    claimName: {{ default $name .Values.persistence.existingClaim }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* A file out of a Secret of the user's, else out of ours, if any: (list secret file ours) */ -}}
{{- define "accounting.projected" -}}
{{- $secret := index . 0 -}}
{{- $file := index . 1 -}}
{{- $ours := index . 2 -}}
{{- with default $ours $secret.name -}}
- secret:
    name: {{ . }}
    items:
      - key: {{ $secret.name | empty | ternary $file $secret.key }}
        path: {{ $file }}
{{- end -}}
{{- end -}}
