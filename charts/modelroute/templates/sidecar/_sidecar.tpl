{{/* The sidecar of a pod, and how it comes into one. */}}

{{- define "modelroute.sidecar.name" -}}modelroute-sidecar{{- end }}

{{/* The Secret of each namespace with the certificate of its sidecars. */}}
{{- define "modelroute.sidecar.secret" -}}
{{ include "modelroute.controller.name" . }}-sidecar
{{- end }}

{{/* `v1` or `v1beta1` of MutatingAdmissionPolicy; empty: there is to be none. */}}
{{- define "modelroute.sidecar.policy" -}}
{{- if ne .Values.sidecar.injection "None" -}}
{{- if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}v1
{{- else if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy" -}}v1beta1
{{- else if eq .Values.sidecar.injection "Policy" -}}v1
{{- end -}}
{{- end -}}
{{- end }}

{{- define "modelroute.sidecar.container" -}}
{{- $sidecar := .Values.sidecar -}}
name: {{ include "modelroute.sidecar.name" . }}
image: {{ include "modelroute.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
# What makes an init container a sidecar: it goes on running, and ends after the pod's own containers.
restartPolicy: Always
command: [modelroute]
args:
- sidecar
- --fleet=https://{{ include "modelroute.fullname" . }}-fleet-$(MODELROUTE_GATEWAY).{{ .Release.Namespace }}.svc:9905
- --fleet-name={{ include "modelroute.proxy.host" . }}
- --controller=https://{{ include "modelroute.controller.host" . }}:9902
- --tls-cert=/etc/modelroute/tls/tls.crt
- --tls-key=/etc/modelroute/tls/tls.key
- --client-ca=/etc/modelroute/tls/ca.crt
- {{ printf "--host=%s" .Values.listenAddress | quote }}
- --http-port=15080
- --health-port=15904
- --admin-port=15901
- --state-dir=/var/lib/modelroute
- --drain-timeout={{ $sidecar.drainTimeoutSeconds }}s
{{- range $sidecar.trustedHops }}
- {{ printf "--trusted-hops=%s" . | quote }}
{{- end }}
- --log-level={{ $sidecar.logLevel }}
# What the pod's labels say is read when it starts; a label that is not there says nothing.
env:
- name: MODELROUTE_GATEWAY
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['modelroute.io/inject']"}}
- name: MODELROUTE_INJECT_MODE
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['modelroute.io/inject-mode']"}}
- name: MODELROUTE_INJECT_PORT
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['modelroute.io/inject-port']"}}
- name: MODELROUTE_INJECT_SERVICE
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['modelroute.io/inject-service']"}}
ports:
- {name: modelroute, containerPort: 15080, protocol: TCP}
- {name: mr-health, containerPort: 15904, protocol: TCP}
# The application starts once its way to the fleet is open; a model server, whose start takes long, while its guard still
# waits for a table.
startupProbe:
  httpGet: {path: /healthz, port: mr-health}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: mr-health}
  periodSeconds: 5
  timeoutSeconds: 3
livenessProbe:
  httpGet: {path: /healthz, port: mr-health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
resources:
  {{- toYaml $sidecar.resources | nindent 2 }}
securityContext:
  {{- toYaml $sidecar.securityContext | nindent 2 }}
volumeMounts:
- {name: modelroute-tls, mountPath: /etc/modelroute/tls, readOnly: true}
- {name: modelroute-state, mountPath: /var/lib/modelroute}
{{- end }}

{{- define "modelroute.sidecar.volumes" -}}
- name: modelroute-tls
  secret:
    secretName: {{ include "modelroute.sidecar.secret" . }}
- name: modelroute-state
  emptyDir:
    sizeLimit: 64Mi
{{- end }}

{{/*
A value as CEL writes it. Lists and maps of CEL hold values of one type, which `dyn` is for all of them; what YAML has as a
number is an integer here.
*/}}
{{- define "modelroute.cel" -}}
{{- if kindIs "map" . -}}
{{- $members := list -}}
{{- range $key, $value := . -}}
{{- $members = append $members (printf "%s: dyn(%s)" ($key | quote) (include "modelroute.cel" $value)) -}}
{{- end -}}
{{ "{" }}{{ join ", " $members }}{{ "}" }}
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}
{{- $items = append $items (printf "dyn(%s)" (include "modelroute.cel" .)) -}}
{{- end -}}
[{{ join ", " $items }}]
{{- else if kindIs "string" . -}}
{{ . | quote }}
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else -}}
{{ int64 . }}
{{- end -}}
{{- end }}
