{{/* What every pod of ours is, so that a namespace with the restricted standard takes it. */}}
{{- define "tidegate.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "tidegate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "tidegate.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The Service whose addresses statuses tell: the one that is named, or else a load balancer of our own. */}}
{{- define "tidegate.publishService" -}}
{{- if .Values.publishService -}}
{{ .Values.publishService }}
{{- else if and (eq .Values.service.type "LoadBalancer") (not .Values.publishAddresses) -}}
{{ .Release.Namespace }}/{{ include "tidegate.name" . }}
{{- end -}}
{{- end -}}

{{/* The arguments of the container: the values under their flags' names, and what is no flag's default left out. */}}
{{- define "tidegate.arguments" -}}
{{- $drain := .Values.drain -}}
- serve
- --class-name={{ .Values.className }}
- --default-class={{ .Values.defaultClass }}
{{- with .Values.watchNamespaces }}
- --watch-namespaces={{ join "," . }}
{{- end }}
{{- with .Values.defaultCertificate }}
- --default-certificate={{ . }}
{{- end }}
{{- with .Values.baseDomain }}
- --base-domain={{ . }}
{{- end }}
{{- with include "tidegate.publishService" . }}
- --publish-service={{ . }}
{{- end }}
{{- with .Values.publishAddresses }}
- --publish-address={{ join "," . }}
{{- end }}
{{- with .Values.trustedProxies }}
- --trusted-proxies={{ join "," . }}
{{- end }}
{{- if ne .Values.proxyProtocol "off" }}
- --proxy-protocol={{ .Values.proxyProtocol }}
{{- end }}
{{- if ne .Values.underscoreHeaders "drop" }}
- --underscore-headers={{ .Values.underscoreHeaders }}
{{- end }}
{{- with .Values.viewerHealthPath }}
- --viewer-health-path={{ . }}
{{- end }}
{{- if ne (int .Values.httpsRedirectPort) 443 }}
- --https-redirect-port={{ .Values.httpsRedirectPort }}
{{- end }}
{{- with .Values.maxConnections }}
- --max-connections={{ int . }}
{{- end }}
{{- with .Values.maxConnectionsPerIp }}
- --max-connections-per-ip={{ int . }}
{{- end }}
- --drain-delay={{ $drain.delaySeconds }}s
- --drain-timeout={{ $drain.timeoutSeconds }}s
- --websocket-drain-spread={{ $drain.websocketSpreadSeconds }}s
{{- with .Values.workers }}
- --workers={{ . }}
{{- end }}
{{- if .Values.snapshot.enabled }}
- --snapshot-path=/var/lib/tidegate/snapshot
- --snapshot-keys={{ .Values.snapshot.keys }}
{{- end }}
- --log-level={{ .Values.logLevel }}
- --log-format={{ .Values.logFormat }}
- --access-log={{ .Values.accessLog }}
{{- if ne .Values.metricsDetail "distribution" }}
- --metrics-detail={{ .Values.metricsDetail }}
{{- end }}
{{- with .Values.debugFrom }}
- --debug-from={{ join "," . }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}
