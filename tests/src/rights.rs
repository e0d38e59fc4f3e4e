//! What a service account may do, granted by hand where no operator does it.

use anyhow::Result;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{ObjectMeta, PostParams};

use crate::controlplane::Namespace;

impl Namespace<'_> {
    /// Lets service account `default` use `verbs` on all Leases of the namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn allow_leases(&self, verbs: &[&str]) -> Result<()> {
        let metadata = ObjectMeta { name: Some("leases-by-hand".to_owned()), ..ObjectMeta::default() };
        let rule = PolicyRule {
            api_groups: Some(vec!["coordination.k8s.io".to_owned()]),
            resources: Some(vec!["leases".to_owned()]),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            ..PolicyRule::default()
        };
        let role = Role { metadata: metadata.clone(), rules: Some(vec![rule]) };
        let binding = RoleBinding {
            metadata,
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "Role".to_owned(),
                name: "leases-by-hand".to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: "default".to_owned(),
                namespace: Some(self.name().to_owned()),
                ..Subject::default()
            }]),
        };
        self.api().create(&PostParams::default(), &role).await?;
        self.api().create(&PostParams::default(), &binding).await?;
        Ok(())
    }
}
