//! What a driver holds does what the election does, and says so.

mod world;

use elector_election::{Action, Answer, Call, Election, Input, Loss, Recorder, WatchEvent};

use self::world::{Versions, World, candidate, never_held, seconds};

#[test]
fn it_passes_everything_on_and_remembers_it() {
    let World { now: begun, .. } = World::new();
    let mut now = begun;
    let mut election = Election::new(candidate(), now);
    let mut recorder = Recorder::recording(candidate(), now);
    let mut silent = Recorder::silent(candidate(), now);

    let shown = WatchEvent::Present(never_held());
    election.handle_watch(shown.clone(), now);
    recorder.handle_watch(shown.clone(), now);
    silent.handle_watch(shown.clone(), now);
    let request = election.poll_request(now);
    let Some(elector_election::Request::Update { write, .. }) = &request else { panic!("{request:?}") };
    let stored = Answer::Stored(never_held().after(write));
    assert_eq!(recorder.poll_request(now), request);
    assert_eq!(silent.poll_request(now), request);
    election.handle_answer(stored.clone(), now);
    recorder.handle_answer(stored.clone(), now);
    silent.handle_answer(stored.clone(), now);
    let acquire = election.poll_action();
    assert!(matches!(acquire, Some(Action::Acquire(_))));
    assert_eq!(recorder.poll_action(), acquire);
    assert_eq!(silent.poll_action(), acquire);
    assert_eq!(recorder.poll_timeout(now), Some(seconds(2)));
    assert_eq!(silent.poll_timeout(now), Some(seconds(2)));
    let waited_at = now;
    now.moment.boottime += seconds(1);
    now.moment.monotonic_raw += seconds(1);
    recorder.handle_timeout(now);
    let timeout_at = now;
    recorder.handle_stop(now);
    assert_eq!(recorder.poll_action(), Some(Action::Retract(Loss::Stopped)));
    recorder.handle_retracted(now);
    assert!(recorder.poll_request(now).is_some());

    let recording = recorder.into_recording();
    assert_eq!((recording.candidate, recording.begun_at), (candidate(), begun));
    let mut again = Election::new(candidate(), begun);
    for call in &recording.calls {
        assert_eq!(again.call_again(call), *call);
    }
    assert_eq!(recording.calls[0], Call::Input(Input::Watch(shown), begun));
    assert_eq!(recording.calls[1], Call::Request(request, begun));
    assert_eq!(recording.calls[2], Call::Input(Input::Answer(stored), begun));
    assert_eq!(recording.calls[3], Call::Action(acquire));
    assert_eq!(recording.calls[4], Call::Wait(Some(seconds(2)), waited_at));
    assert_eq!(recording.calls[5], Call::Input(Input::Timeout, timeout_at));
    assert_eq!(recording.calls[6], Call::Input(Input::Stop, timeout_at));
    assert_eq!(recording.calls.len(), 10);
    assert_eq!(silent.into_recording().calls, []);
}

#[test]
fn losses_are_said_in_words() {
    let said = |loss: Loss| loss.to_string();
    assert_eq!(said(Loss::HeldByAnother { holder: "b".into() }), "lease is held by b");
    for (loss, words) in [
        (Loss::DeadlinePassed, "deadline"),
        (Loss::Emptied, "removed"),
        (Loss::Deleted, "deleted"),
        (Loss::Replaced, "created again"),
        (Loss::RolledBack, "older version"),
        (Loss::Stopped, "told to stop"),
    ] {
        assert!(said(loss.clone()).contains(words), "{loss:?}");
    }
}
