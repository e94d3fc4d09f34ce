//! The examples run, and hold what they say.

#[path = "../examples/audit_log.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program used as a module")]
mod audit_log;
#[path = "../examples/follow.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program used as a module")]
mod follow;
#[path = "../examples/insert_durable.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program used as a module")]
mod insert_durable;
#[path = "../examples/per_block_flush.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program used as a module")]
mod per_block_flush;
#[cfg(feature = "note")]
#[path = "../examples/registry.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program used as a module")]
mod registry;
#[path = "../examples/reorg.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program used as a module")]
mod reorg;
#[path = "../examples/service.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program used as a module")]
mod service;

#[test]
fn a_process_that_dies_in_a_block_restarts_at_the_last_whole_one() {
    if per_block_flush::is_child() {
        per_block_flush::insert_and_die().unwrap();
    }
    let this = "a_process_that_dies_in_a_block_restarts_at_the_last_whole_one";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    per_block_flush::run(child.args([this, "--exact"])).unwrap();
}

#[test]
fn a_follower_that_is_restarted_counts_every_word_once() {
    follow::run().unwrap();
}

#[test]
fn an_entry_that_was_acknowledged_is_there_after_reopening() {
    insert_durable::run().unwrap();
}

#[test]
fn an_auditor_who_sees_only_the_head_can_check_a_line() {
    audit_log::run().unwrap();
}

#[test]
fn a_node_goes_back_to_a_mark_and_takes_the_other_branch() {
    let dir = tempfile::tempdir().unwrap();
    reorg::run(&dir.path().join("chain")).unwrap();
}

#[test]
fn a_service_answers_once_an_entry_is_durable_and_a_cancelled_wait_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    service::run(&dir.path().join("log")).unwrap();
}

#[cfg(feature = "note")]
#[test]
fn a_client_of_a_registry_takes_what_its_log_and_a_witness_have_signed() {
    let dir = tempfile::tempdir().unwrap();
    registry::run(dir.path()).unwrap();
}
