//! Whatever stands in the status files or in a token, reading it does not panic, and nobody is believed for it.
//!
//! `PROPTEST_CASES=1000000` looks longer.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leader_elector::identity::Sources;
use leader_elector::status::{Claim, Standing, boot_id, check};
use proptest::prelude::*;
use serde_json::json;

/// A report that would be believed, if its writer lived.
fn report() -> Vec<u8> {
    let report = json!({
        "identity": "billing-0_5f0c",
        "namespace": "shop",
        "lease": "billing",
        "uid": "u",
        "transitions": 4,
        "fencingToken": 17,
        "bootId": boot_id().unwrap_or_default(),
        "start": "nonce",
        "acquiredAt": "2026-11-23T18:00:00.000000Z",
        "validUntilBoottimeNs": u64::MAX,
        "validUntil": "2026-11-23T18:00:10.000000Z",
    });
    report.to_string().into_bytes()
}

/// `text` with some of it replaced, or something else altogether.
fn garbled(text: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let by = prop_oneof![prop::collection::vec(any::<u8>(), 0..4), "[0-9]{1,25}".prop_map(String::into_bytes)];
    let whole = Just(text.clone());
    let replaced = (any::<prop::sample::Index>(), 0..5_usize, by).prop_map(move |(from, length, by)| {
        let from = from.index(text.len());
        let mut text = text.clone();
        text.splice(from..(from + length).min(text.len()), by);
        text
    });
    prop_oneof![8 => replaced, 1 => whole, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

fn is_believed(path: &Path) -> bool {
    matches!(check(path), Ok(Standing::Leads { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

    #[test]
    fn nobody_is_believed_for_what_stands_in_the_files(
        report in garbled(report()),
        lock in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leader_status");
        fs::write(&path, &report).unwrap();
        fs::write(folder.path().join("leader_status.json"), &report).unwrap();
        fs::write(folder.path().join("leader_status.lock"), &lock).unwrap();
        prop_assert!(!is_believed(&path), "{:?}", check(&path));
        let claim = Claim::take(&path, "another").unwrap();
        let _ = claim.predecessor(&boot_id().unwrap(), "shop", "billing");
        prop_assert!(!path.exists());
        prop_assert!(!is_believed(&path), "{:?}", check(&path));
    }

    #[test]
    fn whatever_the_token_is_there_is_an_identity(
        claims in garbled(br#"{"kubernetes.io":{"pod":{"name":"billing-0","uid":"5f0c"}}}"#.to_vec()),
        raw in ".*",
        is_raw in any::<bool>(),
    ) {
        let token = if is_raw { raw } else { format!("head.{}.signature", URL_SAFE_NO_PAD.encode(claims)) };
        let sources = Sources { token: Some(token), hostname: "host".to_owned(), ..Sources::default() };
        let identity = sources.identity();
        prop_assert!(identity == "host" || identity.contains('_'), "{}", identity);
    }
}
