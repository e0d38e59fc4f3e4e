//! A few hundred histories of the operator as it ships. `cargo e2e` plays ten thousand.

use elector_histories::Shipped;
use elector_simulation::search;

#[test]
fn two_never_lead() {
    let (tally, found) = search(0, 500, Shipped::boxed);
    println!("{tally}");
    assert_eq!(found, None);
    assert!(tally.released_for_dead > 0);
}
