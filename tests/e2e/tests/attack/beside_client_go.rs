//! The same faults on a sidecar of client-go's: ours must not overlap, theirs is shown beside it.

use elector_harness::attack::{Comparison, Direction, Edit, Fault, Flow, Part, SHORT, Span};
use elector_harness::controlplane::ControlPlane;

#[tokio::test]
async fn the_same_is_done_to_client_go() {
    let faults = [
        Fault::Network(Flow::Freeze),
        Fault::OneWay(Direction::ToAgent, Flow::Freeze),
        Fault::Stop(Part::Electing, Span::Longer),
        Fault::Edit(Edit::Holder),
        Fault::EditUnseen(Edit::Delete),
    ];
    let plane = ControlPlane::shared().await.unwrap();
    let compared = Comparison::of(plane, &faults, SHORT, 2 * faults.len()).await.unwrap();
    assert_eq!(compared.len(), faults.len());
    println!("{}", Comparison::HEADING);
    for comparison in compared {
        println!("{comparison}");
    }
}
