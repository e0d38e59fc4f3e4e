//! Processes that stop, die and crawl.

use elector_harness::attack::{Direction, Fault, Part, SHORT, Setup, Span};

use crate::{faults, play_one};

faults! { SHORT;
    the_electing_process_is_stopped: [
        Fault::Stop(Part::Electing, Span::HalfDeadline),
        Fault::Stop(Part::Electing, Span::Deadline),
        Fault::Stop(Part::Electing, Span::Lease),
        Fault::Stop(Part::Electing, Span::Longer),
    ];
    the_supervisor_is_stopped: [
        Fault::Stop(Part::Supervisor, Span::HalfDeadline),
        Fault::Stop(Part::Supervisor, Span::Deadline),
        Fault::Stop(Part::Supervisor, Span::Lease),
        Fault::Stop(Part::Supervisor, Span::Longer),
    ];
    both_are_stopped: [
        Fault::Stop(Part::Both, Span::HalfDeadline),
        Fault::Stop(Part::Both, Span::Deadline),
        Fault::Stop(Part::Both, Span::Lease),
        Fault::Stop(Part::Both, Span::Longer),
    ];
    the_electing_process_is_killed_three_times: [Fault::Kill(Part::Electing)];
    the_supervisor_is_killed: [Fault::Kill(Part::Supervisor)];
    the_container_is_killed: [Fault::Kill(Part::Both)];
    the_leader_is_told_to_stop: [Fault::Terminate];
    the_leader_is_told_to_stop_while_it_is_cut_off: [
        Fault::TerminateCutOff(Direction::ToServer),
        Fault::TerminateCutOff(Direction::ToAgent),
    ];
    who_wins_is_stopped_before_it_knows: [
        Fault::StopWinner(Span::HalfDeadline),
        Fault::StopWinner(Span::Deadline),
        Fault::StopWinner(Span::Longer),
    ];
    both_run_for_one_of_a_hundred_milliseconds: [Fault::Throttle];
    there_are_no_descriptors_any_more: [Fault::NoDescriptors];
}

#[tokio::test]
async fn the_program_says_the_same_as_the_library() {
    let setup = Setup { program: true, ..Setup::ours(SHORT) };
    play_one(Fault::Stop(Part::Both, Span::Longer), setup).await.unwrap();
}
