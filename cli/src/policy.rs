//! Policies as they are written on the command line.

use std::time::Duration;

use bytesize::ByteSize;
use duramen::{CheckpointPolicy, FlushPolicy};

use crate::number::{number, plain};

/// Reads `manual` or `interval:DURATION`.
pub(crate) fn flush(text: &str) -> Result<FlushPolicy, String> {
    match text.split_once(':') {
        None if text == "manual" => Ok(FlushPolicy::Manual),
        Some(("interval", value)) => Ok(FlushPolicy::Interval(duration(value)?)),
        _ => Err("a flush policy is manual or interval:DURATION, such as interval:10ms".to_owned()),
    }
}

/// Reads `manual`, or triggers with commas between them.
pub(crate) fn checkpoint(text: &str) -> Result<CheckpointPolicy, String> {
    let none = CheckpointPolicy::manual();
    if text == "manual" {
        return Ok(none);
    }
    text.split(',').try_fold(none, |policy, trigger| match trigger.split_once(':') {
        None if trigger == "close" => Ok(policy.on_close(true)),
        Some(("close", value)) => Ok(policy.on_close_from(bytes(value)?)),
        Some(("every", value)) => Ok(policy.every_leaves(count(value)?)),
        Some(("wal", value)) => Ok(policy.wal_bytes(bytes(value)?)),
        Some(("segments", value)) => Ok(policy.wal_segments(count(value)?)),
        Some(("memory", value)) => Ok(policy.memory_bytes(bytes(value)?)),
        Some(("interval", value)) => Ok(policy.interval(duration(value)?)),
        _ => Err(format!(
            "{trigger:?} is not one of close, close:BYTES, every:LEAVES, wal:BYTES, segments:COUNT, \
             memory:BYTES, interval:DURATION, or manual alone"
        )),
    })
}

/// Whether the policy makes checkpoints while leaves come, and not only on close or never.
pub(crate) fn checkpoints_on_the_way(policy: &CheckpointPolicy) -> bool {
    policy.clone().on_close(false) != CheckpointPolicy::manual()
}

fn duration(text: &str) -> Result<Duration, String> {
    plain(text).map_err(|why| format!("{text:?} is not a duration such as 10ms: {why}"))?;
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is not a duration such as 10ms: {error}"))?;
    if duration.is_zero() {
        return Err("an interval is longer than zero".to_owned());
    }
    Ok(duration)
}

/// Reads a number of bytes above zero, with a unit or without.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    plain(text)
        .map_err(|why| format!("{text:?} is not a number of bytes such as 256MiB: {why}"))?;
    let size: ByteSize = text
        .parse()
        .map_err(|error| format!("{text:?} is not a number of bytes such as 256MiB: {error}"))?;
    at_least_one(size.as_u64())
}

fn count(text: &str) -> Result<u64, String> {
    at_least_one(number(text).map_err(|why| format!("{text:?}: {why}"))?)
}

fn at_least_one(number: u64) -> Result<u64, String> {
    if number == 0 { Err("a trigger is above zero".to_owned()) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_policy_reads_as_it_is_documented() {
        assert!(matches!(flush("manual"), Ok(FlushPolicy::Manual)));
        let Ok(FlushPolicy::Interval(interval)) = flush("interval:10ms") else {
            panic!("interval:10ms is a policy");
        };
        assert_eq!(interval, Duration::from_millis(10));
        for bad in [
            "",
            "interval",
            "interval:",
            "interval:0ms",
            "interval:10",
            "interval:+1s",
            "interval:01s",
            "manual:1s",
            "x",
        ] {
            assert!(flush(bad).is_err(), "{bad:?}");
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
            ("segments:8", true),
            ("memory:1GiB,interval:60s,close", true),
        ] {
            let policy = checkpoint(good).unwrap();
            assert_eq!(checkpoints_on_the_way(&policy), on_the_way, "{good:?}");
        }
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
            "memory:0B",
            "interval:0s",
            "close,",
        ] {
            assert!(checkpoint(bad).is_err(), "{bad:?}");
        }
    }
}
