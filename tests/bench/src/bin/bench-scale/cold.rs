//! A cold reconcile, and the same writes by somebody who does nothing else.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elector_crds::ownership::OPERATOR_NAME;
use elector_crds::rbac::rbac_name;
use elector_crds::{ELECTION_LABEL, LeaderElection, STRICT_IDENTITY_LABEL, StoredLease};
use elector_harness::controlplane::{ControlPlane, Entry};
use elector_harness::machine::{computed, memory};
use elector_harness::operators::{Operator, Operators};
use elector_operator::key::Key;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::crowd::{Crowd, Member};
use crate::results::{Cold, Plain, Requests};

/// As many writers as the operator has elections in work.
pub(crate) const AS_THE_OPERATOR: usize = 16;

/// So many that none waits for another.
pub(crate) const MANY_WRITERS: usize = 64;

/// For a cold reconcile of 20,000 elections.
const PATIENCE: Duration = Duration::from_secs(600);

/// Starts `operator` on elections that have nothing yet, waits until all are in place, and stops it.
pub(crate) async fn reconcile(operators: &Operators<'_>, operator: &Operator, crowd: &Crowd<'_>) -> Result<Cold> {
    let started = Timestamp::now();
    operator.process().start()?;
    until_in_place(operator, crowd).await?;
    let id = operator.process().id().context("not started")?;
    let (computed, peak_kibibytes) = (computed(id)?, memory(id, "VmHWM:")?);
    operator.process().stop().await?;
    let about = |entry: &Entry| entry.received >= started && crowd.is_at_home_in(&entry.namespace);
    let requests = operators.requests(about)?;
    let first = requests.first().context("the operator asked nothing")?.received;
    let last = requests.iter().map(|entry| entry.reached).max().context("the operator asked nothing")?;
    let (writes, reads): (Vec<&Entry>, Vec<&Entry>) = requests.iter().partition(|entry| entry.is_write());
    Ok(Cold {
        seconds: last.duration_since(started).as_secs_f64(),
        writing_seconds: last.duration_since(first).as_secs_f64(),
        writes: counted(writes),
        reads: counted(reads),
        computed_seconds: computed.as_secs_f64(),
        peak_kibibytes,
    })
}

/// By verb and what they are about.
pub(crate) fn counted<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Requests {
    let mut requests = Requests::new();
    for Entry { verb, resource, subresource, .. } in entries {
        let slash = if subresource.is_empty() { "" } else { "/" };
        *requests.entry(format!("{verb} {resource}{slash}{subresource}")).or_default() += 1;
    }
    requests
}

async fn until_in_place(operator: &Operator, crowd: &Crowd<'_>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let last = crowd.members.last().context("no elections")?;
    // One that costs little to look at, and is among the last in the operator's queue; then all.
    while !(last.is_in_place().await? && crowd.standing().await?.0 == crowd.members.len()) {
        ensure!(operator.process().exited()?.is_none(), "the operator ended\n{}", operator.log());
        ensure!(
            Instant::now() < deadline,
            "not all are in place after {PATIENCE:?}\n{}",
            operator.process().log_tail()
        );
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// For each of `crowd`, the writes that a cold reconcile takes, with the operator's rights and objects, elsewhere, by so
/// many `writers` at a time. What was written is removed.
pub(crate) async fn plain(
    plane: &ControlPlane,
    operators: &Operators<'_>,
    crowd: &Crowd<'_>,
    writers: usize,
) -> Result<Plain> {
    let copy = Crowd::gather(plane, "plain", u32::try_from(crowd.members.len())?, false).await?;
    let client = operators.client().await?;
    let events = events(crowd).await?;
    let pairs: Vec<(Originals, &Member<'_>)> = stream::iter(crowd.members.iter().zip(&copy.members))
        .map(async |(original, copy)| anyhow::Ok((Originals::of(original, &events).await?, copy)))
        .buffered(AS_THE_OPERATOR)
        .try_collect()
        .await?;
    let begun = Instant::now();
    let written = stream::iter(pairs).map(|(originals, copy)| originals.write(client.clone(), copy));
    let writes: u32 = written.buffer_unordered(writers).try_fold(0, async |sum, writes| Ok(sum + writes)).await?;
    let seconds = begun.elapsed().as_secs_f64();
    remove(&copy).await?;
    Ok(Plain { writes, seconds })
}

/// What the operator has made for an election.
struct Originals {
    lease: StoredLease,
    role: Role,
    role_binding: RoleBinding,
    event: Event,
    election: LeaderElection,
}

impl Originals {
    async fn of(Member { namespace, name, .. }: &Member<'_>, events: &HashMap<Key, Event>) -> Result<Originals> {
        let event = events.get(&Key::new(namespace.name(), name)).context("an election without an event")?;
        let mut originals = Originals {
            lease: namespace.api::<StoredLease>().get(name).await?,
            role: namespace.api::<Role>().get(&rbac_name(name)).await?,
            role_binding: namespace.api::<RoleBinding>().get(&rbac_name(name)).await?,
            event: event.clone(),
            election: namespace.api::<LeaderElection>().get(name).await?,
        };
        let Originals { lease, role, role_binding, event, .. } = &mut originals;
        for metadata in [&mut lease.metadata, &mut role.metadata, &mut role_binding.metadata, &mut event.metadata] {
            let ObjectMeta { name, labels, annotations, owner_references, .. } = std::mem::take(metadata);
            *metadata = ObjectMeta { name, labels, annotations, owner_references, ..ObjectMeta::default() };
        }
        Ok(originals)
    }

    /// As many writes as it returns, one after another.
    async fn write(self, client: Client, copy: &Member<'_>) -> Result<u32> {
        let Originals { mut lease, mut role, mut role_binding, mut event, election } = self;
        let (namespace, name) = (copy.namespace.name(), &copy.name);
        lease.metadata.name = Some(name.clone());
        for metadata in [&mut role.metadata, &mut role_binding.metadata] {
            metadata.name = Some(rbac_name(name));
        }
        // The crowds are not in the same order, and the operator's policies look at the names.
        for metadata in [&mut lease.metadata, &mut role.metadata, &mut role_binding.metadata] {
            for owner in metadata.owner_references.iter_mut().flatten() {
                owner.name.clone_from(name);
            }
            for (label, value) in metadata.labels.iter_mut().flatten() {
                if label == ELECTION_LABEL {
                    value.clone_from(name);
                }
            }
        }
        for rule in role.rules.iter_mut().flatten() {
            rule.resource_names = Some(vec![name.clone()]);
        }
        role_binding.role_ref.name = rbac_name(name);
        for subject in role_binding.subjects.iter_mut().flatten() {
            subject.namespace = Some(namespace.to_owned());
        }
        let leases = Api::<StoredLease>::namespaced(client.clone(), namespace);
        let post = PostParams { field_manager: Some(OPERATOR_NAME.to_owned()), ..PostParams::default() };
        let mut created = leases.create(&post, &lease).await?;
        apply(&client, namespace, &role).await?;
        apply(&client, namespace, &role_binding).await?;
        created.labels_mut().insert(STRICT_IDENTITY_LABEL.to_owned(), "false".to_owned());
        leases.replace(name, &post, &created).await?;
        event.regarding.get_or_insert_default().namespace = Some(namespace.to_owned());
        Api::<Event>::namespaced(client.clone(), namespace).create(&post, &event).await?;
        let status = json!({
            "apiVersion": LeaderElection::api_version(&()),
            "kind": LeaderElection::kind(&()),
            "metadata": {"name": name},
            "status": election.status,
        });
        let elections = Api::<LeaderElection>::namespaced(client, namespace);
        elections.patch_status(name, &PatchParams::apply(OPERATOR_NAME).force(), &Patch::Apply(status)).await?;
        Ok(6)
    }
}

/// What was told of each election.
async fn events(crowd: &Crowd<'_>) -> Result<HashMap<Key, Event>> {
    let mut events = HashMap::new();
    for namespace in crowd.namespaces() {
        for event in namespace.api::<Event>().list(&ListParams::default()).await? {
            let about = event.regarding.as_ref().and_then(|regarding| regarding.name.clone()).unwrap_or_default();
            events.insert(Key::new(namespace.name(), &about), event);
        }
    }
    Ok(events)
}

async fn apply<K>(client: &Client, namespace: &str, object: &K) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    api.patch(&object.name_any(), &PatchParams::apply(OPERATOR_NAME), &Patch::Apply(object)).await?;
    Ok(())
}

async fn remove(crowd: &Crowd<'_>) -> Result<()> {
    for namespace in crowd.namespaces() {
        let (parameters, all) = (DeleteParams::default(), ListParams::default());
        namespace.api::<StoredLease>().delete_collection(&parameters, &all).await?;
        namespace.api::<Role>().delete_collection(&parameters, &all).await?;
        namespace.api::<RoleBinding>().delete_collection(&parameters, &all).await?;
        namespace.api::<Event>().delete_collection(&parameters, &all).await?;
        namespace.api::<LeaderElection>().delete_collection(&parameters, &all).await?;
    }
    Ok(())
}
