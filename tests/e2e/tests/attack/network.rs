//! What the network does to one agent, or to all.

use elector_harness::attack::{Cut, Direction, Fault, Flow, SHORT, Span};

use crate::faults;

faults! { SHORT;
    the_leader_is_cut_off_and_what_was_said_arrives_later: [Fault::Network(Flow::Hold)];
    the_leader_is_frozen: [Fault::Network(Flow::Freeze)];
    all_that_the_leader_says_and_hears_is_lost: [Fault::Network(Flow::Drop)];
    requests_arrive_after_the_takeover: [Fault::OneWay(Direction::ToServer, Flow::Hold)];
    requests_are_not_taken: [Fault::OneWay(Direction::ToServer, Flow::Freeze)];
    requests_are_lost: [Fault::OneWay(Direction::ToServer, Flow::Drop)];
    answers_arrive_after_the_takeover: [Fault::OneWay(Direction::ToAgent, Flow::Hold)];
    answers_are_not_taken: [Fault::OneWay(Direction::ToAgent, Flow::Freeze)];
    answers_are_lost: [Fault::OneWay(Direction::ToAgent, Flow::Drop)];
    requests_are_late: [
        Fault::Late(Direction::ToServer, Span::Bearable),
        Fault::Late(Direction::ToServer, Span::HalfDeadline),
        Fault::Late(Direction::ToServer, Span::Deadline),
        Fault::Late(Direction::ToServer, Span::Lease),
    ];
    answers_are_late: [
        Fault::Late(Direction::ToAgent, Span::Bearable),
        Fault::Late(Direction::ToAgent, Span::HalfDeadline),
        Fault::Late(Direction::ToAgent, Span::Deadline),
        Fault::Late(Direction::ToAgent, Span::Lease),
    ];
    connections_are_reset_again_and_again: [Fault::Cuts(Cut::Reset)];
    connections_are_half_open: [Fault::Cuts(Cut::ServerSide), Fault::Cuts(Cut::AgentSide)];
    connections_are_refused: [Fault::Refusal];
    the_network_is_up_for_three_seconds_and_down_for_three: [Fault::Flapping];
    everyone_is_cut_off_at_once: [Fault::EveryoneHeld];
    each_leader_is_cut_off_in_turn: [Fault::Relayed];
}
