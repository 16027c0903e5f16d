{{- define "leadwire.name" -}}
{{- if contains "leadwire" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-leadwire" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "leadwire.selector" -}}
app.kubernetes.io/name: leadwire
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "leadwire.labels" -}}
{{ include "leadwire.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "leadwire.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "leadwire.secret" -}}
{{- .Values.existingSecret | default (include "leadwire.name" .) -}}
{{- end }}
