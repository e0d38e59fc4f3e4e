//! Ten thousand histories, none of which may show what must not happen, and all of which together must show enough.

use elector_histories::Shipped;
use elector_simulation::search;

#[test]
fn two_never_lead() {
    let (tally, found) = search(0, 10_000, Shipped::boxed);
    println!("{tally}");
    assert_eq!(found, None);
    assert_eq!(tally.is_idle(), None);
    assert!(tally.released_for_dead > 0);
}
