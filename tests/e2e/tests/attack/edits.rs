//! What people do to the Lease, while the leader sees it and while it does not.

use elector_harness::attack::{Edit, Fault, SHORT};

use crate::faults;

faults! { SHORT;
    another_holder: [Fault::Edit(Edit::Holder), Fault::EditUnseen(Edit::Holder)];
    no_holder: [Fault::Edit(Edit::Empty), Fault::EditUnseen(Edit::Empty)];
    a_release_as_of_client_go: [Fault::Edit(Edit::Released), Fault::EditUnseen(Edit::Released)];
    a_duration_of_a_second: [Fault::Edit(Edit::Duration(1)), Fault::EditUnseen(Edit::Duration(1))];
    a_duration_of_68_years: [Fault::Edit(Edit::Duration(i32::MAX))];
    times_far_off_or_none: [
        Fault::Edit(Edit::Times("9999-12-31T23:59:59.000000Z")),
        Fault::Edit(Edit::Times("0001-01-01T00:00:00.000000Z")),
        Fault::Edit(Edit::NoTimes),
    ];
    fewer_transitions: [Fault::Edit(Edit::Transitions), Fault::EditUnseen(Edit::Transitions)];
    deletion: [Fault::Edit(Edit::Delete), Fault::EditUnseen(Edit::Delete)];
    deletion_and_a_new_one: [Fault::Edit(Edit::Recreate), Fault::EditUnseen(Edit::Recreate)];
}
