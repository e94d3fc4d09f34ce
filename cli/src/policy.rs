//! Policies as they are written on the command line.

use std::fmt::Display;
use std::time::Duration;

use bytesize::ByteSize;
use duramen::{CheckpointPolicy, FlushPolicy, RetentionPolicy};

use crate::number::number;

/// Reads `manual` or `interval:DURATION`.
pub(crate) fn flush(text: &str) -> Result<FlushPolicy, String> {
    match text.split_once(':') {
        None if text == "manual" => Ok(FlushPolicy::Manual),
        Some(("interval", value)) => works(FlushPolicy::interval(duration(value)?)),
        _ => Err("a flush policy is manual or interval:DURATION, such as interval:10ms".to_owned()),
    }
}

/// When a command that appends checkpoints if the caller does not say.
pub(crate) const CHECKPOINTS: &str = "wal:256MiB,wal:32MiB/5s,close:1MiB";

/// Reads `manual`, or triggers with commas between them.
pub(crate) fn checkpoint(text: &str) -> Result<CheckpointPolicy, String> {
    let none = CheckpointPolicy::manual();
    if text == "manual" {
        return Ok(none);
    }
    text.split(',').try_fold(none, |policy, trigger| match trigger.split_once(':') {
        None if trigger == "close" => Ok(policy.on_close(true)),
        Some(("close", value)) => Ok(policy.on_close_from(bytes(value)?)),
        Some(("every", value)) => works(policy.every_leaves(count(value)?)),
        Some(("wal", value)) => match value.split_once('/') {
            Some((value, age)) => works(policy.wal_bytes_after(bytes(value)?, duration(age)?)),
            None => works(policy.wal_bytes(bytes(value)?)),
        },
        Some(("segments", value)) => works(policy.wal_segments(count(value)?)),
        Some(("memory", value)) => works(policy.memory_bytes(bytes(value)?)),
        Some(("interval", value)) => works(policy.interval(duration(value)?)),
        _ => Err(format!(
            "{trigger:?} is not one of close, close:BYTES, every:LEAVES, wal:BYTES, wal:BYTES/AGE, \
             segments:COUNT, memory:BYTES, interval:DURATION, or manual alone"
        )),
    })
}

/// Reads `all`, or rules with commas between them.
pub(crate) fn retention(text: &str) -> Result<RetentionPolicy, String> {
    let all = RetentionPolicy::keep_all();
    if text == "all" {
        return Ok(all);
    }
    text.split(',').try_fold(all, |policy, rule| match rule.split_once(':') {
        Some(("newest", value)) => Ok(policy.newest(count(value)?)),
        Some(("younger", value)) => works(policy.younger_than(duration(value)?)),
        Some(("marks", value)) => {
            let marks = usize::try_from(count(value)?).unwrap_or(usize::MAX);
            works(policy.marks(marks))
        }
        _ => Err(format!(
            "{rule:?} is not one of newest:LEAVES, younger:DURATION, marks:COUNT, or all alone"
        )),
    })
}

/// Whether the policy makes checkpoints while leaves come, and not only on close or never.
pub(crate) fn checkpoints_on_the_way(policy: &CheckpointPolicy) -> bool {
    policy.clone().on_close(false) != CheckpointPolicy::manual()
}

/// The text of an error of the library.
fn works<T>(set: Result<T, duramen::Error>) -> Result<T, String> {
    set.map_err(|error| error.to_string())
}

/// Reads one number with a unit. What humantime takes besides, several of them with spaces between, gives a
/// duration several spellings.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let what = |why: &dyn Display| format!("{text:?} is not a duration such as 10ms: {why}");
    let (digits, unit) = split(text);
    number(digits).map_err(|why| what(&why))?;
    if unit.is_empty() || !unit.chars().all(char::is_alphabetic) {
        return Err(what(&"it is not one number with one unit"));
    }
    let duration = humantime::parse_duration(text).map_err(|why| what(&why))?;
    if duration.is_zero() {
        return Err("an interval is longer than zero".to_owned());
    }
    Ok(duration)
}

/// Reads a number of bytes above zero, with a unit or without.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let what =
        |why: &dyn Display| format!("{text:?} is not a number of bytes such as 256MiB: {why}");
    let (digits, unit) = split(text);
    let number = number(digits).map_err(|why| what(&why))?;
    if !unit.chars().all(char::is_alphabetic) {
        return Err(what(&"it is not one whole number with one unit"));
    }
    // The crate computes with floating point numbers, and so only the unit is for it.
    let unit: ByteSize = format!("1{unit}").parse().map_err(|why: String| what(&why))?;
    let Some(bytes) = number.checked_mul(unit.as_u64()) else {
        return Err(what(&format_args!("it is more than {} bytes", u64::MAX)));
    };
    at_least_one(bytes)
}

/// The digits that a text begins with, and the rest.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '+' && c != '-');
    text.split_at(end.unwrap_or(text.len()))
}

fn count(text: &str) -> Result<u64, String> {
    at_least_one(number(text).map_err(|why| format!("{text:?}: {why}"))?)
}

fn at_least_one(number: u64) -> Result<u64, String> {
    if number == 0 { Err("a number here is above zero".to_owned()) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_policy_reads_as_it_is_documented() {
        assert!(matches!(flush("manual"), Ok(FlushPolicy::Manual)));
        let Ok(FlushPolicy::Interval { within, .. }) = flush("interval:10ms") else {
            panic!("interval:10ms is a policy");
        };
        assert_eq!(within, Duration::from_millis(10));
        for bad in [
            "",
            "interval",
            "interval:",
            "interval:0ms",
            "interval:10",
            "interval:+1s",
            "interval:01s",
            "interval:1s 05ms",
            "interval:1s 5ms",
            "interval:1s5ms",
            "interval: 1s",
            "interval:1 s",
            "interval:1s ",
            "interval:99999999999999999999s",
            "interval:18446744073709551615years",
            "manual:1s",
            "x",
        ] {
            assert!(flush(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_retention_policy_is_a_list_of_rules_or_all_alone() {
        let all = RetentionPolicy::keep_all();
        assert_eq!(retention("all"), Ok(all.clone()));
        let week = Duration::from_secs(7 * 24 * 3600);
        let rules = all.newest(1_000_000).younger_than(week).unwrap().marks(100).unwrap();
        assert_eq!(retention("newest:1000000,younger:7days,marks:100"), Ok(rules));
        for bad in [
            "",
            "all,newest:1",
            "newest",
            "newest:0",
            "newest:+1",
            "younger:5",
            "marks:0",
            "oldest:1",
            "newest:1,",
        ] {
            assert!(retention(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_checkpoint_policy_is_a_list_of_triggers_or_manual_alone() {
        for (good, on_the_way) in [
            ("manual", false),
            ("close", false),
            ("close:1MiB", false),
            ("every:1000000", true),
            ("wal:256MiB", true),
            ("wal:32MiB/5s", true),
            ("segments:8", true),
            ("memory:1GiB,interval:60s,close", true),
        ] {
            let policy = checkpoint(good).unwrap();
            assert_eq!(checkpoints_on_the_way(&policy), on_the_way, "{good:?}");
        }
        assert_eq!(bytes("9007199254740993"), Ok(9_007_199_254_740_993));
        assert_eq!(bytes("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(bytes("100MB"), Ok(100_000_000));
        assert_eq!(bytes("15EiB"), Ok(15 << 60));
        assert!(bytes("16EiB").unwrap_err().contains("it is more than 18446744073709551615 bytes"));
        for bad in [
            "",
            "manual,close",
            "close,manual",
            "close:much",
            "every",
            "every:0",
            "every:-1",
            "every:+1",
            "every:05",
            "segments:+1",
            "wal:+1MiB",
            "wal:01MiB",
            "wal:much",
            "wal:1MiB/",
            "wal:/5s",
            "wal:1MiB/5",
            "wal:0/5s",
            "wal:1MiB/0s",
            "wal:1MiB/5s/5s",
            "memory:0B",
            "interval:0s",
            "close,",
            "wal:1 MiB",
            "wal:1.5MiB",
            "wal:99999999999999999999",
            "wal:18446744073709551615KiB",
            "memory:16EiB",
            "interval:1m 30s",
        ] {
            assert!(checkpoint(bad).is_err(), "{bad:?}");
        }
    }
}
