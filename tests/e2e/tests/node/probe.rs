//! `elector-agent check` as a probe of kubelet's: of all pods, the leader's is ready, and a Service finds it.

use std::time::Instant;

use kube::ResourceExt as _;

use crate::billing::Billing;
use crate::manifest::App;

#[tokio::test]
async fn with_check_as_readiness_probe_the_leader_is_the_one_that_is_ready() {
    let billing = Billing::deployed("probe", App::Probed).await.unwrap();
    let leader = billing.leader().await.unwrap();
    assert_eq!(billing.ready().await.unwrap(), [leader.name_any()]);
    billing.delete(&leader).await.unwrap();
    let next = billing.next_leader(&leader).await.unwrap();
    let begun = Instant::now();
    billing.until("it is ready", async || Ok(billing.ready().await? == [next.name_any()])).await.unwrap();
    println!("the next leader was ready {:?} after it led", begun.elapsed());
    billing.until_there().await.unwrap();
    // Nothing that a probe asks costs a container its life.
    for pod in billing.pods().await.unwrap() {
        assert_eq!(billing.restarts(&pod).await.unwrap(), 0);
    }
    billing.end().await.unwrap();
}
