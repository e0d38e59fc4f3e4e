//! One of each kind with 15/10/2.

use elector_harness::attack::{DEFAULT, Direction, Edit, Fault, Flow, Manners, Part, Span, Tampering};

use crate::faults;

faults! { DEFAULT;
    processes: [Fault::Stop(Part::Electing, Span::Longer), Fault::Kill(Part::Both), Fault::Terminate];
    the_network: [Fault::Network(Flow::Freeze), Fault::OneWay(Direction::ToServer, Flow::Hold)];
    what_is_answered_edited_and_tampered_with: [
        Fault::Answers(Manners::Refuses(503, Some(1))),
        Fault::EditUnseen(Edit::Delete),
        Fault::Tampering(Tampering::Link),
    ];
}
