{{/* What several policies say in the same words, as expressions of CEL. */}}

{{/* The operator's account, as the API server names it. */}}
{{- define "leader-elector.operator.username" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "leader-elector.operator" .) -}}
{{- end -}}

{{/* Whether `owner` makes a LeaderElection the controller of an object. */}}
{{- define "leader-elector.cel.isElection" -}}
owner.?controller.orValue(false) && owner.kind == "LeaderElection" && owner.apiVersion == "leader-elector.io/v1alpha1"
{{- end -}}

{{/* Whether the time is one that the API server reads again from what it has written. */}}
{{- define "leader-elector.cel.isTime" -}}
{{- printf "dyn(%s).?%s.orValue(null) == null || string(dyn(%s).%s).matches(\"^[0-9]{4}-\")" .spec .field .spec .field -}}
{{- end -}}

{{/* Whether the spec of a Lease stays as it is. A time of the year 1 is stored as such and read as null: to send null back changes nothing.
A time that the API server stores but does not take back, as of the year 10000, can only be left out. */}}
{{- define "leader-elector.cel.keepsSpec" -}}
{{- $same := list -}}
{{- range $field := list "holderIdentity" "leaseDurationSeconds" "acquireTime" "renewTime" "leaseTransitions" "strategy" "preferredHolder" -}}
{{- $keeps := printf "dyn(object.spec).?%s.orValue(null) == dyn(oldObject.spec).?%s.orValue(null)" $field $field -}}
{{- if hasSuffix "Time" $field -}}
{{- $isTime := include "leader-elector.cel.isTime" (dict "spec" "oldObject.spec" "field" $field) -}}
{{- $keeps = printf "(%s || dyn(object.spec).?%s.orValue(null) == null && !(%s))" $keeps $field $isTime -}}
{{- end -}}
{{- $same = append $same $keeps -}}
{{- end -}}
{{- join " &&\n" $same -}}
{{- end -}}

{{/* Whether a Lease that is held is released, and nothing else of its spec is changed but times. */}}
{{- define "leader-elector.cel.releases" -}}
oldObject.spec.?holderIdentity.orValue("") != "" &&
object.spec.?holderIdentity.orValue("") == "" &&
object.spec.?leaseDurationSeconds.orValue(0) == 1 &&
object.spec.?leaseTransitions.orValue(0) == oldObject.spec.?leaseTransitions.orValue(0) &&
object.spec.?strategy == oldObject.spec.?strategy &&
object.spec.?preferredHolder == oldObject.spec.?preferredHolder
{{- end -}}

{{/* Binds the policy of that name, which denies. */}}
{{- define "leader-elector.bind" }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "leader-elector.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
{{- end -}}
