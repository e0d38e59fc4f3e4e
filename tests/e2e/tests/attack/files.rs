//! What becomes of the status files.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::Result;
use elector_harness::attack::{Arena, Fault, Flow, Look, SHORT, Setup, Tampering};
use elector_harness::candidate::AgentOptions;
use elector_harness::controlplane::ControlPlane;
use tokio::time::sleep;

use crate::faults;

faults! { SHORT;
    the_file_is_removed: [Fault::Tampering(Tampering::Removed)];
    a_link_in_place_of_the_file: [Fault::Tampering(Tampering::Link), Fault::TamperingAndKill(Tampering::Link)];
    a_directory_in_place_of_the_file: [
        Fault::Tampering(Tampering::Directory),
        Fault::TamperingAndKill(Tampering::Directory),
    ];
    a_directory_in_place_of_the_report: [Fault::Tampering(Tampering::ReportDirectory)];
    garbage_in_place_of_the_report: [Fault::Tampering(Tampering::ReportGarbage)];
    the_lock_file_is_removed: [Fault::Tampering(Tampering::Lock), Fault::TamperingAndKill(Tampering::Lock)];
}

/// Runs the agent as somebody to whom permissions matter.
const NOBODY_SPECIAL: &str = r#"if [ "$(id -u)" = 0 ]; then
    exec setpriv --bounding-set=-dac_override,-dac_read_search "$0" "$@"; fi; exec "$0" "$@""#;

/// Those who only test for the file are wrong from the takeover on, until it can be removed.
#[tokio::test]
async fn a_volume_that_turns_read_only() {
    read_only().await.unwrap();
}

async fn read_only() -> Result<()> {
    let setup = Setup { options: AgentOptions::in_shell(NOBODY_SPECIAL).await?, ..Setup::ours(SHORT) };
    let arena = Arena::start(ControlPlane::shared().await?, "read-only", &setup).await?;
    let leader = arena.settled_leader().await?;
    let member = &arena.members[leader];
    let file = member.candidate.status_file();
    let mode = |mode| set_permissions(file.parent().unwrap_or(&file), Permissions::from_mode(mode));
    mode(0o500)?;
    member.relay.set_both(Flow::Hold);
    arena.leader_beside(leader).await?;
    sleep(arena.renew_deadline()).await;
    assert!(member.candidate.leads(), "{}", arena.logs());
    mode(0o700)?;
    member.candidate.yields_within(Duration::from_millis(300)).await?;
    member.relay.heal();
    arena.settled_leader().await?;
    assert_eq!(arena.verdict(Look::File).overlaps.len(), 1, "{}", arena.logs());
    arena.judge("read-only", true)
}
