//! The agent's two processes are killed in their container, one at a time.

use std::time::Duration;

use kube::ResourceExt as _;

use crate::billing::Billing;
use crate::manifest::App;

/// What `test -f` may be wrong for while the supervisor lives is 100 ms; here containers are started beside it.
const AT_MOST: Duration = Duration::from_millis(300);

#[tokio::test]
async fn of_a_killed_electing_process_nothing_stays_and_its_container_never_ends() {
    let billing = Billing::deployed("electing", App::Injected).await.unwrap();
    let leader = billing.leader().await.unwrap();
    for round in 1..=3 {
        billing.until_acting(&leader).await.unwrap();
        let before = billing.election.lease().await.unwrap();
        let begun = billing.kill_electing(&leader).await.unwrap();
        let seen = async || Ok(billing.sightings(&leader, begun).len() >= 2);
        billing.until("its file is there again", seen).await.unwrap();
        let [gone, back] = &billing.sightings(&leader, begun)[..] else { panic!("it went and came") };
        assert!(!gone.there && back.there);
        println!("the file went {:?} after the kill, and was back {:?} later", gone.at - begun, back.at - gone.at);
        assert!(gone.at - begun < AT_MOST);
        let after = billing.election.lease().await.unwrap();
        assert_eq!(after.spec["holderIdentity"], before.spec["holderIdentity"]);
        let transitions = |lease: &elector_crds::StoredLease| lease.spec["leaseTransitions"].as_i64();
        assert_eq!(transitions(&after), transitions(&before).map(|before| before + 1));
        assert_eq!(billing.log(&leader).matches("the electing process was killed").count(), round);
    }
    billing.until_acting(&leader).await.unwrap();
    assert_eq!(billing.restarts(&leader).await.unwrap(), 0);
    assert_eq!(billing.end().await.unwrap().runs().len(), 4);
}

#[tokio::test]
async fn a_container_that_is_started_again_removes_the_stale_file_and_leads_on_as_a_new_tenure() {
    let billing = Billing::deployed("supervisor", App::Check).await.unwrap();
    let leader = billing.leader().await.unwrap();
    billing.until_acting(&leader).await.unwrap();
    let before = billing.election.lease().await.unwrap();
    billing.witness.set_dead(billing.watch(&leader), true);
    let begun = billing.kill_supervisor(&leader).await.unwrap();
    // The file is stale, and whoever asks knows that.
    billing.until("check says so", async || Ok(billing.leads(&leader).is_ok_and(|leads| !leads))).await.unwrap();
    println!("check was right {:?} after the kill", begun.elapsed());
    assert!(begun.elapsed() < AT_MOST);
    assert!(billing.status_file(&leader).exists());
    billing.until("its file went and came", async || Ok(billing.sightings(&leader, begun).len() >= 2)).await.unwrap();
    let [gone, back] = &billing.sightings(&leader, begun)[..] else { panic!("it went and came") };
    assert!(!gone.there && back.there);
    println!("the file was stale for {:?}, and the pod led again {:?} later", gone.at - begun, back.at - gone.at);
    billing.witness.set_dead(billing.watch(&leader), false);
    assert_eq!(billing.leader().await.unwrap().uid(), leader.uid());
    billing.until("kubelet tells of it", async || Ok(billing.restarts(&leader).await? == 1)).await.unwrap();
    let after = billing.election.lease().await.unwrap();
    assert_eq!(after.spec["holderIdentity"], before.spec["holderIdentity"]);
    assert!(after.spec["leaseTransitions"].as_i64() > before.spec["leaseTransitions"].as_i64());
    billing.until_acting(&leader).await.unwrap();
    let acts = billing.end().await.unwrap();
    println!("between the acts of two tenures: {:?}", acts.pauses());
    assert_eq!(acts.runs().len(), 2);
}

#[tokio::test]
async fn a_stale_file_misleads_nobody_who_asks_check_while_another_leads() {
    let billing = Billing::deployed("stale", App::Check).await.unwrap();
    let leader = billing.leader().await.unwrap();
    billing.until_acting(&leader).await.unwrap();
    // Kubelet starts it at once for the first times, and later waits for longer than the others do.
    let mut kills = 0;
    let (begun, next) = loop {
        billing.witness.set_dead(billing.watch(&leader), true);
        let begun = billing.kill_supervisor(&leader).await.unwrap();
        kills += 1;
        assert!(kills < 10, "its container is always back in time");
        billing.until("it dies", async || Ok(billing.leads(&leader).is_ok_and(|leads| !leads))).await.unwrap();
        let mut led = None;
        billing
            .until("somebody leads", async || {
                led = billing.leaders().await?.pop();
                Ok(led.is_some())
            })
            .await
            .unwrap();
        let led = led.unwrap();
        if led.uid() != leader.uid() {
            break (begun, led);
        }
    };
    println!("after {kills} kills another led {:?} after the last", begun.elapsed());
    assert!(billing.status_file(&leader).exists(), "both files are there");
    assert_eq!(billing.leads(&leader).ok(), Some(false));
    billing.until_acting(&next).await.unwrap();
    billing.until("the stale file goes", async || Ok(!billing.status_file(&leader).exists())).await.unwrap();
    println!("the file was stale for {:?}", begun.elapsed());
    billing.witness.set_dead(billing.watch(&leader), false);
    billing.until_there().await.unwrap();
    assert_eq!(billing.leader().await.unwrap().uid(), next.uid());
    billing.delete(&next).await.unwrap();
    let third = billing.next_leader(&next).await.unwrap();
    billing.until_acting(&third).await.unwrap();
    let acts = billing.end().await.unwrap();
    println!("{} tenures; between the acts of two: {:?}", acts.runs().len(), acts.pauses());
}
