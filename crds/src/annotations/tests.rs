//! What the annotations of a Lease are read as, and that they are read as they were written.

use super::*;

fn parse(text: &str) -> (TimingsAnnotation, usize) {
    let mut warnings = Vec::new();
    let annotation = TimingsAnnotation::parse(text, &mut warnings);
    (annotation, warnings.len())
}

#[test]
fn timings_are_written_as_documented_and_read_back() {
    let annotation = TimingsAnnotation { timings: Some(Timings::DEFAULT), ..TimingsAnnotation::default() };
    assert_eq!(
        annotation.to_json(),
        r#"{"leaseDurationSeconds":15,"renewDeadlineSeconds":10,"retryPeriodSeconds":2,"releaseDelaySeconds":0}"#
    );
    assert_eq!(parse(&annotation.to_json()), (annotation, 0));
    let never_held = TimingsAnnotation { never_held: true, ..annotation };
    assert!(never_held.to_json().ends_with(r#""releaseDelaySeconds":0,"neverHeld":true}"#));
    assert_eq!(parse(&never_held.to_json()), (never_held, 0));
    let unconfirmed = TimingsAnnotation { unconfirmed: true, ..annotation };
    assert!(unconfirmed.to_json().ends_with(r#""releaseDelaySeconds":0,"unconfirmed":true}"#));
    assert_eq!(parse(&unconfirmed.to_json()), (unconfirmed, 0));
    let confirmed = TimingsAnnotation { wait_seconds: 40, ..annotation };
    assert!(confirmed.to_json().ends_with(r#""releaseDelaySeconds":0,"waitSeconds":40}"#));
    assert_eq!(parse(&confirmed.to_json()), (confirmed, 0));
}

#[test]
fn hints_are_written_as_documented_and_read_back() {
    let read = |text: &str| {
        let mut warnings = Vec::new();
        (parse_hints(text, &mut warnings), warnings.len())
    };
    let none = Hints::default();
    assert_eq!((hints_to_json(&none), read("{}")), ("{}".to_owned(), (none.clone(), 0)));
    let all = Hints { paused: true, end_tenure: Some(17), successor: Some("billing-0_5f0c".to_owned()) };
    let text = r#"{"paused":true,"endTenure":17,"successor":"billing-0_5f0c"}"#;
    assert_eq!((hints_to_json(&all), read(text)), (text.to_owned(), (all, 0)));
    assert_eq!(read(r#"{"paused":null,"endTenure":null,"successor":null,"later":1}"#), (none.clone(), 0));
    for text in [
        "",
        "garbage",
        "[]",
        "null",
        r#"{"paused":"true"}"#,
        r#"{"paused":1}"#,
        r#"{"endTenure":-1}"#,
        r#"{"endTenure":1.5}"#,
        r#"{"endTenure":"17"}"#,
        r#"{"endTenure":2147483648}"#,
        r#"{"successor":""}"#,
        r#"{"successor":{}}"#,
    ] {
        assert_eq!(read(text), (none.clone(), 1), "{text}");
    }
}

#[test]
fn timings_that_cannot_be_read_are_none_and_reported() {
    for text in [
        "",
        "garbage",
        "[]",
        "null",
        "{}",
        r#"{"leaseDurationSeconds":15,"renewDeadlineSeconds":10,"retryPeriodSeconds":2}"#,
        r#"{"leaseDurationSeconds":"15","renewDeadlineSeconds":10,"retryPeriodSeconds":2,"releaseDelaySeconds":0}"#,
        r#"{"leaseDurationSeconds":15.5,"renewDeadlineSeconds":10,"retryPeriodSeconds":2,"releaseDelaySeconds":0}"#,
        r#"{"leaseDurationSeconds":15,"renewDeadlineSeconds":12,"retryPeriodSeconds":2,"releaseDelaySeconds":0}"#,
        r#"{"leaseDurationSeconds":1e400,"renewDeadlineSeconds":12,"retryPeriodSeconds":2,"releaseDelaySeconds":0}"#,
    ] {
        assert_eq!(parse(text), (TimingsAnnotation::default(), 1), "{text}");
    }
}

#[test]
fn only_a_plain_true_says_never_held() {
    for (text, never_held) in [
        (r#"{"neverHeld":true}"#, true),
        (r#"{"neverHeld":"true"}"#, false),
        (r#"{"neverHeld":1}"#, false),
        (r#"{"neverheld":true}"#, false),
    ] {
        assert_eq!(parse(text).0.never_held, never_held, "{text}");
    }
}

fn mark() -> AgentMark {
    AgentMark {
        start: "n1".to_owned(),
        transitions: 4,
        release: Some(ReleaseMark {
            uid: "u".to_owned(),
            transitions: 4,
            renew_time: parse_timestamp("2026-11-23T18:00:00.000001Z").unwrap(),
        }),
    }
}

#[test]
fn the_agents_mark_is_written_as_documented_and_read_back() {
    let text = agent_to_json(&mark(), None);
    assert_eq!(
        text,
        format!(
            r#"{{"version":"{}","start":"n1","transitions":4,"release":{{"uid":"u","transitions":4,"renewTime":"2026-11-23T18:00:00.000001Z"}}}}"#,
            env!("CARGO_PKG_VERSION")
        )
    );
    let mut warnings = Vec::new();
    assert_eq!(parse_agent(&text, &mut warnings), mark());
    assert_eq!(
        parse_agent(r#"{"start":"n1","transitions":4,"new":{}}"#, &mut warnings),
        AgentMark { release: None, ..mark() }
    );
    assert_eq!(warnings, []);
}

#[test]
fn a_release_says_why_in_one_of_some_words_and_any_other_is_none() {
    for reason in ReleaseReason::ALL {
        let text = agent_to_json(&mark(), Some(*reason));
        assert!(text.ends_with(&format!(r#","reason":"{reason}"}}}}"#)), "{text}");
        assert_eq!(parse_release_reason(&text), Some(*reason));
        let mut warnings = Vec::new();
        assert_eq!((parse_agent(&text, &mut warnings), warnings.len()), (mark(), 0));
    }
    let held = AgentMark { release: None, ..mark() };
    assert_eq!(agent_to_json(&held, Some(ReleaseReason::Stopped)), agent_to_json(&held, None));
    for text in [
        "",
        "garbage",
        r#"{"reason":"Stopped"}"#,
        r#"{"release":null}"#,
        r#"{"release":{}}"#,
        r#"{"release":{"reason":null}}"#,
        r#"{"release":{"reason":7}}"#,
        r#"{"release":{"reason":"stopped"}}"#,
        r#"{"release":{"reason":"Retired"}}"#,
    ] {
        assert_eq!(parse_release_reason(text), None, "{text}");
    }
}

#[test]
fn a_mark_that_cannot_be_read_makes_everybody_wait() {
    for text in [
        "",
        "{}",
        "null",
        "{\"start\":\"n1\"}",
        r#"{"start":7,"transitions":4}"#,
        r#"{"start":"n1","transitions":-1}"#,
        r#"{"start":"n1","transitions":2147483648}"#,
        r#"{"start":"n1","transitions":4.5}"#,
    ] {
        let mut warnings = Vec::new();
        let mark = parse_agent(text, &mut warnings);
        assert_eq!((mark.transitions, mark.release), (MAX_TRANSITIONS, None), "{text}");
        assert_eq!(warnings.len(), 1, "{text}");
    }
}

#[test]
fn a_release_that_cannot_be_read_is_none() {
    for release in ["7", "{}", r#"{"uid":"u","transitions":4,"renewTime":"soon"}"#] {
        let mut warnings = Vec::new();
        let text = format!(r#"{{"start":"n1","transitions":4,"release":{release}}}"#);
        assert_eq!(parse_agent(&text, &mut warnings), AgentMark { release: None, ..mark() });
        assert_eq!(warnings.len(), 1, "{release}");
    }
}
