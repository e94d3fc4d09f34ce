//! `duramen doctor`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::common::shell::{shell, status_of};
use crate::common::{Place, duramen, store_of};

/// What is said of one thing: grade and text.
fn sign(json: &Value, what: &str) -> (String, String) {
    let signs = json.as_array().unwrap();
    let sign = signs.iter().find(|sign| sign["what"] == what).unwrap();
    (sign["grade"].as_str().unwrap().to_owned(), sign["text"].as_str().unwrap().to_owned())
}

/// The JSON about a directory, whatever the status is: the machine of the test may have problems.
fn looked_at(place: &Place, dir: &str) -> Value {
    let output = duramen(place, &format!("doctor {dir} --json")).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_place_is_looked_at_before_there_is_a_store_and_with_one_and_nothing_is_written() {
    let place = Place::new();
    let json = looked_at(&place, "@not/yet");
    assert_eq!(sign(&json, "store").0, "note");
    assert_eq!(fs::read_dir(place.dir()).unwrap().count(), 0);

    let place = store_of("a\n");
    let json = looked_at(&place, "DIR");
    assert_eq!(sign(&json, "permissions"), ("good".to_owned(), "mode 700".to_owned()));
    let (grade, text) = sign(&json, "store");
    assert!(grade == "good" && text.ends_with(" with 1 tree"), "{text}");
    assert!(sign(&json, "space").1.contains(" are free"));
    assert!(!sign(&json, "file system").1.is_empty());
    fs::set_permissions(place.path("store"), fs::Permissions::from_mode(0o777)).unwrap();
    let (grade, text) = sign(&looked_at(&place, "DIR"), "permissions");
    assert!(grade == "note" && text.contains("others can change"), "{text}");
    // A manifest that cannot be read.
    for entry in fs::read_dir(place.path("store/manifest")).unwrap() {
        fs::write(entry.unwrap().path(), "damaged").unwrap();
    }
    let mut command = duramen(&place, "doctor DIR");
    let output = command.assert().code(1).get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("PROBLEM store        "), "{text}");
}

#[test]
fn limits_that_a_store_cannot_live_with_are_problems() {
    let place = store_of("a\n");
    let (status, error) = status_of(place.dir(), "ulimit -f 1000; \"$D\" doctor store");
    assert_eq!(status, Some(1), "{error}");
    let output = shell(place.dir(), "ulimit -f 1000; ulimit -n 100; \"$D\" doctor store");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("PROBLEM limits       no file may be longer than "), "{text}");
    assert!(text.contains("note    limits       100 files may be open at a time\n"), "{text}");
}
