//! Requests to a witness and its answers from hostile texts: what is read is written back, and a witness decides on
//! everything.
#![no_main]

mod credulous;

use credulous::Credulous;
use duramen::tlog::witness::{AddCheckpoint, Answer, KnownLog, cosigned_body, decide};
use duramen::{TreeHead, TreeSize};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for code in [200, 409] {
        if let Ok(Answer::Cosigned(lines)) = Answer::read(code, Some("text/x.tlog.size"), text) {
            assert_eq!(cosigned_body(&lines), text);
        }
    }
    let Ok(request) = text.parse::<AddCheckpoint>() else { return };
    assert_eq!(request.to_string(), text);
    let Some(signature) = request.note().signatures().first() else { return };
    let key = Credulous::of(signature);
    let log = KnownLog { origin: request.claimed_origin(), keys: &[&key] };
    for latest in [
        None,
        Some(TreeHead { size: request.old(), root: [1; 32] }),
        Some(TreeHead { size: TreeSize(0), root: [1; 32] }),
    ] {
        match decide(&request, Some(log), latest.as_ref()) {
            Ok(accepted) => {
                let before = latest.map_or(TreeSize(0), |latest| latest.size);
                assert_eq!(
                    (request.old(), accepted.advances),
                    (before, accepted.head.size > before)
                );
            }
            Err(refusal) => {
                assert!(refusal.status().code() >= 400 && refusal.body().ends_with('\n'))
            }
        }
    }
});
