//! The examples run, and hold what they say.

#[path = "../examples/audit_log.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program used as a module")]
mod audit_log;
#[path = "../examples/insert_durable.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program used as a module")]
mod insert_durable;
#[path = "../examples/per_block_flush.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program used as a module")]
mod per_block_flush;

#[test]
fn a_block_is_flushed_at_once_and_every_past_block_can_be_proved_against() {
    per_block_flush::run().unwrap();
}

#[test]
fn an_entry_that_was_acknowledged_is_there_after_reopening() {
    insert_durable::run().unwrap();
}

#[test]
fn an_auditor_who_sees_only_the_head_can_check_a_line() {
    audit_log::run().unwrap();
}
