//! Writes Leases, by create and replace.

use elector_crds::lease;
use elector_crds::{LeaderElection, ReleaseReason, StoredLease};
use kube::ResourceExt as _;

use super::{Aborted, Applier, Error, Outcome, is_refused, post};
use crate::index::{Part, WriteAnswer};
use crate::key::Key;
use crate::plan::LeaseAction;
use crate::plan::lease::{Amendment, Release};

impl Applier {
    pub(super) async fn apply_lease(
        &self,
        election: &LeaderElection,
        action: &LeaseAction,
        outcome: &mut Outcome,
    ) -> Result<(), Aborted> {
        let answers = &mut outcome.answers;
        let (part, result) = match action {
            LeaseAction::None => return Ok(()),
            LeaseAction::Create(lease) => (Part::Lease, self.create_lease(election, lease, answers).await),
            LeaseAction::Amend(amendment) => return self.amend_lease(election, amendment, outcome).await,
            LeaseAction::Release(release) => (Part::Release, self.release_lease(election, release, answers).await),
            LeaseAction::Look => (Part::Look, self.read_lease(election, answers).await.map(|_| ())),
        };
        outcome.note(part, result)
    }

    async fn create_lease(
        &self,
        election: &LeaderElection,
        lease: &StoredLease,
        answers: &mut Vec<WriteAnswer>,
    ) -> Result<(), Error> {
        let leases = self.api::<StoredLease>(election);
        match self.write("create the Lease", leases.create(&post(), lease)).await {
            Ok(created) => {
                answers.push(WriteAnswer::Lease(Box::new(created)));
                Ok(())
            }
            Err(stale @ Error::Stale(_)) => {
                self.read_lease(election, answers).await?;
                Err(stale)
            }
            Err(error) => Err(error),
        }
    }

    /// Changes the metadata of a Lease: all parts at once, or if that is refused each part alone.
    async fn amend_lease(
        &self,
        election: &LeaderElection,
        amendment: &Amendment,
        outcome: &mut Outcome,
    ) -> Result<(), Aborted> {
        let parts = amendment.parts();
        if let [_, _, ..] = parts[..] {
            match self.amend(election, amendment, "replace the Lease's metadata", outcome).await {
                Ok(()) => {
                    outcome.written.extend(parts);
                    return Ok(());
                }
                Err(error) if is_refused(&error) => {}
                Err(error) => return outcome.note(parts[0], Err(error)),
            }
        }
        let mut upon = amendment.upon;
        for part in parts {
            let alone = Amendment { upon, ..amendment.only(part) };
            let what = match part {
                Part::Timings => "put the timings on the Lease",
                Part::Hints => "pass on to candidates, on the Lease, what they are asked for",
                Part::Owner => "put the reference to the LeaderElection on the Lease",
                // Of the four the only one that is left.
                _ => "put the mark for the check of identities on the Lease",
            };
            let amended = self.amend(election, &alone, what, outcome).await;
            if amended.is_ok() {
                upon = alone.timings.unwrap_or(upon);
            }
            outcome.note(part, amended)?;
        }
        Ok(())
    }

    /// Changes the metadata of the Lease if its uid, its annotation and the version that was read are unchanged. A
    /// renewal in between is a conflict, after which the election is planned again.
    async fn amend(
        &self,
        election: &LeaderElection,
        amendment: &Amendment,
        what: &'static str,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        let is_meant = |lease: &StoredLease| amendment.is_meant_for(lease);
        let apply = |lease: &mut StoredLease| amendment.apply(lease);
        self.replace_lease(what, election, &mut outcome.answers, is_meant, apply).await
    }

    /// Releases the Lease if the version that has just been read still shows the dead holder's record.
    async fn release_lease(
        &self,
        election: &LeaderElection,
        release: &Release,
        answers: &mut Vec<WriteAnswer>,
    ) -> Result<(), Error> {
        let is_meant = |lease: &StoredLease| lease::read(lease).is_ok_and(|(lease, _)| lease.record == release.of);
        let apply = |lease: &mut StoredLease| lease::apply(&release.write, Some(ReleaseReason::PodTerminated), lease);
        self.replace_lease("release the Lease of a pod that is dead", election, answers, is_meant, apply).await
    }

    async fn replace_lease(
        &self,
        what: &'static str,
        election: &LeaderElection,
        answers: &mut Vec<WriteAnswer>,
        is_meant: impl Fn(&StoredLease) -> bool,
        apply: impl FnOnce(&mut StoredLease),
    ) -> Result<(), Error> {
        let read = self.read_lease(election, answers).await?;
        let Some(mut lease) = read.filter(is_meant) else { return Err(Error::Stale(what)) };
        apply(&mut lease);
        let leases = self.api::<StoredLease>(election);
        let replaced = self.write(what, leases.replace(&election.name_any(), &post(), &lease)).await?;
        answers.push(WriteAnswer::Lease(Box::new(replaced)));
        Ok(())
    }

    pub(super) async fn read_lease(
        &self,
        election: &LeaderElection,
        answers: &mut Vec<WriteAnswer>,
    ) -> Result<Option<StoredLease>, Error> {
        let leases = self.api::<StoredLease>(election);
        let read = self.call("read the Lease", leases.get_opt(&election.name_any())).await?;
        answers.push(match &read {
            Some(lease) => WriteAnswer::LeaseRead(Box::new(lease.clone())),
            None => WriteAnswer::NoLease(Key::of(election)),
        });
        Ok(read)
    }
}
