{{/* Name of all that the chart makes for the operator. */}}
{{- define "leader-elector.operator" -}}
{{- if contains "leader-elector" .Release.Name -}}
{{- printf "%s-operator" (.Release.Name | trunc 54 | trimSuffix "-") -}}
{{- else -}}
{{- printf "%s-leader-elector-operator" (.Release.Name | trunc 39 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* Name of what the chart makes for agents, wherever they are. */}}
{{- define "leader-elector.agents" -}}
{{- include "leader-elector.operator" . | trimSuffix "-operator" | printf "%s-agents" -}}
{{- end -}}

{{/* By which the operator's pods are found: never changed by an upgrade. */}}
{{- define "leader-elector.operator.selector" -}}
app.kubernetes.io/name: leader-elector
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "leader-elector.labels" -}}
app.kubernetes.io/name: leader-elector
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* An image, of a map of repository, tag and digest and of the version that an empty tag stands for. */}}
{{- define "leader-elector.image" -}}
{{- $tag := .image.tag | default .version -}}
{{- if .image.digest -}}
{{- printf "%s:%s@%s" .image.repository $tag .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository $tag -}}
{{- end -}}
{{- end -}}

{{/* What the operator does to objects of its own group, and of others, in the namespaces that it looks after. */}}
{{- define "leader-elector.operator.rules" -}}
- apiGroups: [leader-elector.io]
  resources: [leaderelections]
  # patch: to take back a request for another leader that is done with.
  verbs: [get, list, watch, patch]
- apiGroups: [leader-elector.io]
  resources: [leaderelections/status]
  verbs: [patch]
# It grants four of these verbs on one Lease to that Lease's candidates, and can only grant what it has. `delete`, here and below, is asked
# for by the admission plugin OwnerReferencesPermissionEnforcement where an owner is set, and refused by templates/operator/*-policy.yaml.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if .Values.leaderService.enabled }}
# Only its own, by templates/leader-service.yaml.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch, create, patch, delete]
# Asked for by OpenShift.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices/restricted]
  verbs: [create]
{{- end }}
{{- if .Values.podLabels.enabled }}
# Only one label, by templates/pod-labels.yaml.
- apiGroups: [""]
  resources: [pods]
  verbs: [patch]
{{- end }}
{{- end -}}

{{/* What the operator is told to do beside elections. */}}
{{- define "leader-elector.features" -}}
{{- $features := list -}}
{{- if .Values.leaderService.enabled }}{{ $features = append $features "leader-service" }}{{ end -}}
{{- if .Values.podLabels.enabled }}{{ $features = append $features "pod-labels" }}{{ end -}}
{{- join "," $features -}}
{{- end -}}

{{/* In which the cluster has policies that change pods: v1 came with Kubernetes 1.36; 1.34 and 1.35 have v1beta1 where it was turned on. */}}
{{- define "leader-elector.injection.version" -}}
{{- $kubernetes := .Capabilities.KubeVersion.Version -}}
{{- $policy := "admissionregistration.k8s.io/%s/MutatingAdmissionPolicy" -}}
{{- if or (.Capabilities.APIVersions.Has (printf $policy "v1")) (semverCompare ">=1.36.0-0" $kubernetes) -}}
v1
{{- else if .Capabilities.APIVersions.Has (printf $policy "v1beta1") -}}
v1beta1
{{- else -}}
{{- fail (printf "injection.enabled is true, and Kubernetes %s has no MutatingAdmissionPolicy, which came with 1.36: set injection.enabled=false, and add the agent to your manifests with `kubectl election inject`; where helm has no cluster to ask, as for `helm template` and Kustomize, name the cluster's version: --kube-version, or kubeVersion of helmCharts" $kubernetes) -}}
{{- end -}}
{{- end -}}

{{/* A selector of the namespaces that this release looks after, with what else a selector asks; empty for all. */}}
{{- define "leader-elector.namespaces" -}}
{{- $selector := deepCopy .selector -}}
{{- with .watched -}}
{{- $watched := dict "key" "kubernetes.io/metadata.name" "operator" "In" "values" . -}}
{{- $_ := set $selector "matchExpressions" (append ($selector.matchExpressions | default list) $watched) -}}
{{- end -}}
{{- if $selector }}{{ toYaml $selector }}{{ end -}}
{{- end -}}

{{/* Any value as an expression of CEL, whose literals may not mix types unless told so. */}}
{{- define "leader-elector.cel" -}}
{{- if kindIs "map" . -}}
{{- $fields := list -}}
{{- range $key, $value := . -}}
{{- $fields = append $fields (printf "%s: dyn(%s)" (toJson $key) (include "leader-elector.cel" $value)) -}}
{{- end -}}
{{- printf "{%s}" (join ", " $fields) -}}
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}
{{- $items = append $items (printf "dyn(%s)" (include "leader-elector.cel" .)) -}}
{{- end -}}
{{- printf "[%s]" (join ", " $items) -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{/* The rule of SAFETY.md, in the words of the operator, before it is installed and says them. */}}
{{- define "leader-elector.checkTimings" -}}
{{- $most := div (sub (mul 132 .leaseDurationSeconds) 143) 156 -}}
{{- if gt (int .renewDeadlineSeconds) (int $most) -}}
{{- fail (printf "operator.renewDeadlineSeconds is %v; with operator.leaseDurationSeconds %v it can be %v at most" .renewDeadlineSeconds .leaseDurationSeconds $most) -}}
{{- end -}}
{{- if gt (mul 2 .retryPeriodSeconds) (int64 .renewDeadlineSeconds) -}}
{{- fail (printf "operator.retryPeriodSeconds is %v; with operator.renewDeadlineSeconds %v it can be %v at most" .retryPeriodSeconds .renewDeadlineSeconds (div .renewDeadlineSeconds 2)) -}}
{{- end -}}
{{- end -}}
