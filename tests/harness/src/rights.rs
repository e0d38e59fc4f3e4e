//! What a service account may do, granted by hand where no operator does it.

use anyhow::Result;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{ObjectMeta, Patch, PatchParams};

use crate::controlplane::Namespace;

const NAME: &str = "leases-by-hand";

impl Namespace<'_> {
    /// Lets service account `default` use `verbs` on all Leases of the namespace, and nothing that was granted before.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn allow_leases(&self, verbs: &[&str]) -> Result<()> {
        self.allow(verbs, None).await
    }

    /// Lets it use `verbs` on one Lease only, and nothing that was granted before.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn allow_lease(&self, election: &str, verbs: &[&str]) -> Result<()> {
        self.allow(verbs, Some(vec![election.to_owned()])).await
    }

    async fn allow(&self, verbs: &[&str], resource_names: Option<Vec<String>>) -> Result<()> {
        let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
        let rule = PolicyRule {
            api_groups: Some(vec!["coordination.k8s.io".to_owned()]),
            resources: Some(vec!["leases".to_owned()]),
            resource_names,
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            ..PolicyRule::default()
        };
        let role = Role { metadata: metadata.clone(), rules: Some(vec![rule]) };
        let binding = RoleBinding {
            metadata,
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "Role".to_owned(),
                name: NAME.to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: "default".to_owned(),
                namespace: Some(self.name().to_owned()),
                ..Subject::default()
            }]),
        };
        let by_hand = PatchParams::apply("by-hand").force();
        self.api::<Role>().patch(NAME, &by_hand, &Patch::Apply(&role)).await?;
        self.api::<RoleBinding>().patch(NAME, &by_hand, &Patch::Apply(&binding)).await?;
        Ok(())
    }
}
