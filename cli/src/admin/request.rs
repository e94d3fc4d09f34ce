//! What operators ask a running store for, and what it answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is asked for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    Flush,
    Checkpoint,
    Compact,
    /// The directory of the copy, an absolute path.
    Backup {
        dir: PathBuf,
    },
    Scrub,
    ReadOnly,
    Writable,
    Status,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Answer {
    Done(Value),
    /// Damage was found.
    Damaged(Value),
    Failed(String),
}

/// Longer requests are none.
pub(super) const LONGEST: u64 = 1 << 16;
/// Longer answers are none: far longer than what a scrub finds in a store that can still be read.
pub(super) const LONGEST_ANSWER: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written_and_nothing_else_is_one() {
        let backup = Request::Backup { dir: "/b".into() };
        let all = [Request::Flush, backup, Request::ReadOnly, Request::Writable, Request::Status];
        for request in all {
            let text = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        }
        for bad in ["", "flush", "\"drop\"", "{\"backup\":{}}", "{\"flush\":1}", "[]", "null"] {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
    }
}
