{{/* Names, labels and the parts that controller and proxies share. */}}

{{- define "modelroute.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 26 | trimSuffix "-" }}
{{- end }}

{{/* 26 characters, so that `<fullname>-gateway-<28 characters>` is a name that a Service can have (63). */}}
{{- define "modelroute.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 26 | trimSuffix "-" }}
{{- else if contains (include "modelroute.name" .) .Release.Name }}
{{- .Release.Name | trunc 26 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "modelroute.name" .) | trunc 26 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "modelroute.controller.name" -}}
{{ include "modelroute.fullname" . }}-controller
{{- end }}

{{/* What selects pods: never changed by values that can be changed later. */}}
{{- define "modelroute.selector" -}}
app.kubernetes.io/name: {{ include "modelroute.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "modelroute.controller.selector" -}}
{{ include "modelroute.selector" . }}
app.kubernetes.io/component: controller
{{- end }}

{{/* Takes {root, name}. */}}
{{- define "modelroute.gateway.selector" -}}
{{ include "modelroute.selector" .root }}
app.kubernetes.io/component: gateway
modelroute.io/gateway: {{ .name | quote }}
{{- end }}

{{- define "modelroute.labels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: modelroute
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Of pods: only what changes with them, so that a new version of the chart alone restarts nothing. */}}
{{- define "modelroute.podLabels" -}}
{{- range list .root.Values.commonLabels .values.podLabels }}
{{- with . }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "modelroute.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/*
What kube-score is told of workloads. container-resources: there is no limit of CPU, on purpose (values.yaml says why).
container-image-pull-policy: the tag of a version never means another image, and a digest cannot; Always would make each
start of a pod hang on the registry.
*/}}
{{- define "modelroute.score" -}}
kube-score/ignore: container-resources,container-image-pull-policy
{{- end }}

{{/* Of what is there for a test only, and made before its pod. */}}
{{- define "modelroute.selftest.hook" -}}
helm.sh/hook: test
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* `mtls` or `plain`. */}}
{{- define "modelroute.channel" -}}
{{- $secrets := .Values.certificates.existingSecret -}}
{{- if ne (empty $secrets.controller) (empty $secrets.proxy) -}}
{{- fail "certificates.existingSecret: give both controller and proxy, or neither" -}}
{{- end -}}
{{- if or $secrets.controller (ne .Values.certificates.issuer "none") -}}mtls{{ else }}plain{{ end -}}
{{- end }}

{{/* `true` where the controller makes the certificates itself. */}}
{{- define "modelroute.channel.self" -}}
{{- if and (eq .Values.certificates.issuer "self") (not .Values.certificates.existingSecret.controller) -}}true{{- end -}}
{{- end }}

{{/* What proxies dial, and what the controller's certificate is for. */}}
{{- define "modelroute.controller.host" -}}
{{ include "modelroute.controller.name" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{/* What the certificate of the proxies is for, where sidecars dial them. */}}
{{- define "modelroute.proxy.host" -}}
{{ include "modelroute.controller.name" . }}-proxy.{{ .Release.Namespace }}.svc
{{- end }}

{{/* Takes {root, side}: the Secret with the certificate of `controller` or `proxy`. */}}
{{- define "modelroute.secret" -}}
{{- if include "modelroute.channel.self" .root -}}
{{/* The controller's own is in memory; the names of its two Secrets follow from its host. */}}
{{- if eq .side "proxy" }}{{ include "modelroute.controller.name" .root }}-proxy{{ end -}}
{{- else -}}
{{- get .root.Values.certificates.existingSecret .side | default (printf "%s-%s-tls" (include "modelroute.fullname" .root) .side) }}
{{- end -}}
{{- end }}

{{/* Takes {root, side}. */}}
{{- define "modelroute.channel.args" -}}
{{- if and (eq .side "controller") (include "modelroute.channel.self" .root) -}}
- --self-certificates={{ include "modelroute.controller.host" .root }}
{{- else if eq (include "modelroute.channel" .root) "mtls" -}}
- --tls-cert=/etc/modelroute/tls/tls.crt
- --tls-key=/etc/modelroute/tls/tls.key
- --client-ca=/etc/modelroute/tls/ca.crt
{{- else -}}
- --insecure
{{- end }}
{{- end }}

{{/* Takes {root, side}. */}}
{{- define "modelroute.channel.volume" -}}
{{- if and (eq (include "modelroute.channel" .root) "mtls") (include "modelroute.secret" .) -}}
- name: tls
  secret:
    secretName: {{ include "modelroute.secret" . }}
{{- end }}
{{- end }}

{{/* Takes {root, side}. */}}
{{- define "modelroute.channel.mount" -}}
{{- if include "modelroute.channel.volume" . -}}
- name: tls
  mountPath: /etc/modelroute/tls
  readOnly: true
{{- end }}
{{- end }}

{{/* Scheduling of a pod. Takes {values, selector}. */}}
{{- define "modelroute.scheduling" -}}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
{{- $own := dict "labelSelector" (dict "matchLabels" (fromYaml $.selector)) }}
- {{ toYaml (merge (deepCopy .) (hasKey . "labelSelector" | ternary dict $own)) | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* The gateways with their defaults filled in, as YAML: {gateways: [...]}. */}}
{{- define "modelroute.gateways" -}}
{{- $names := list -}}
{{- $gateways := list -}}
{{- range .Values.gateways -}}
{{- if has .name $names -}}
{{- fail (printf "gateways: two are named %q" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- $gateways = append $gateways (mergeOverwrite (deepCopy $.Values.gatewayDefaults) .) -}}
{{- end -}}
{{- toYaml (dict "gateways" $gateways) -}}
{{- end }}
