//! What the API server, or something in front of it, answers to the leader.

use elector_harness::attack::{Fault, Manners, SHORT};

use crate::faults;

faults! { SHORT;
    a_storm_of_401_and_403: [
        Fault::Answers(Manners::Refuses(401, None)),
        Fault::Answers(Manners::Refuses(403, None)),
    ];
    a_storm_of_429_500_and_503: [
        Fault::Answers(Manners::Refuses(429, Some(1))),
        Fault::Answers(Manners::Refuses(500, None)),
        Fault::Answers(Manners::Refuses(503, Some(1))),
    ];
    writes_that_are_stored_and_answered_with_500_and_504: [
        Fault::Answers(Manners::DoesAndSays(500)),
        Fault::Answers(Manners::DoesAndSays(504)),
    ];
    writes_that_are_stored_and_answered_with_garbage: [Fault::Answers(Manners::Babbles)];
    watches_that_are_gone_as_soon_as_they_begin: [Fault::Answers(Manners::ForgetsWatches)];
    watches_that_are_silent: [Fault::Answers(Manners::SilencesWatches)];
}
