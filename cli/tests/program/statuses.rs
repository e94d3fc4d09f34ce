//! The exit status of a failure says what a script has to do next, and JSON says the same.

use serde_json::Value;

use crate::common::shell::status_of;
use crate::common::writer::Writer;
use crate::common::{Place, duramen, refused, store_of};

/// The failure of a line as text and as JSON: both have the status, and the same error.
fn fails(place: &Place, line: &str, status: i32, kind: &str) -> String {
    let text = refused(duramen(place, line), status);
    let output =
        duramen(place, &format!("{line} --json")).assert().code(status).get_output().clone();
    let failure: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
    assert_eq!(failure["status"], status);
    assert_eq!(failure["kind"], kind);
    assert_eq!(text, format!("duramen: {}", failure["error"].as_str().unwrap()));
    text
}

#[test]
fn a_store_or_a_tree_that_is_not_there_is_status_3() {
    let place = store_of("a\nb\n");
    fails(&place, "head @nowhere", 3, "no-store");
    fails(&place, "head DIR --tree other", 3, "no-store");
    std::fs::create_dir(place.path("notes")).unwrap();
    place.file("notes/x", "");
    fails(&place, "scrub @notes", 3, "no-store");
}

#[test]
fn a_store_that_is_open_elsewhere_is_status_4() {
    let place = Place::new();
    let mut writer = Writer::new(&place, "");
    writer.append("a\n");
    fails(&place, "append DIR /dev/null", 4, "locked");
    refused(duramen(&place, "seal DIR main"), 4);
    writer.end();
}

#[test]
fn what_finds_no_space_is_status_5() {
    let place = Place::new();
    place.file("input", vec![b'\n'; 3_000_000]);
    let script = "ulimit -f 1000; \"$D\" append store --json input";
    let (status, error) = status_of(place.dir(), script);
    assert_eq!(status, Some(5), "{error}");
    let failure: Value = serde_json::from_str(&error).unwrap();
    assert_eq!(failure["kind"], "no-space");
}

#[test]
fn damage_that_is_looked_for_is_status_1_and_damage_that_is_met_is_status_6() {
    let place = store_of((0..2000).map(|line| format!("{line}\n")).collect::<String>());
    refused(duramen(&place, "append DIR /dev/null --checkpoint-policy every:0"), 2);
    crate::common::printed(duramen(&place, "append DIR /dev/null --checkpoint-policy close"));
    let part = place.path("store/parts/00000001.part");
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[4096] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    fails(&place, "scrub DIR", 1, "refused");
    fails(&place, "prove DIR 0", 6, "damaged");
}

#[test]
fn what_the_system_refuses_is_status_7() {
    let place = Place::new();
    fails(&place, "append /sys/duramen /dev/null", 7, "permission");
}

#[test]
fn a_mistake_on_the_command_line_is_status_2() {
    let place = Place::new();
    fails(&place, "head DIR --sise 4", 2, "failed");
    fails(&place, "append DIR no-such-file", 2, "failed");
}
