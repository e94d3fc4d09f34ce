//! An input that was stopped in its middle is appended once, however often it is given.

use serde_json::Value;

use crate::common::shell::status_of;
use crate::common::writer::{appending, lines_of};
use crate::common::{
    Function, Place, duramen, entries_of, given, head_json, head_text, lines, printed,
    printed_json, refused, store_of, told,
};

fn head(text: &str) -> String {
    let leaves = lines(Function::Blake3, text.as_bytes());
    head_text(leaves.len(), Function::Blake3.root(4, &leaves))
}

#[test]
fn resuming_appends_what_is_missing_and_nothing_else() {
    let text = "a\nb\n\na\nb\n";
    for there in ["", "a\n", "a\nb\n\n", text] {
        for flags in ["", "--entries"] {
            let place = entries_of(there, if flags.is_empty() { "--longest 9" } else { "" });
            let found = there.lines().count();
            let command = given(&place, "append DIR --resume --ack", text);
            let acks: String = (0..5).map(|index| format!("{index}\n")).collect();
            assert_eq!(
                printed(command),
                format!("{acks}{}found {found}\n", head(text)),
                "{there:?}"
            );
            // And once more.
            let again = printed_json(given(&place, "append DIR --resume --json", text));
            assert_eq!((&again["size"], &again["found"]), (&Value::from(5), &Value::from(5)));
            assert!(again["records"].is_null() && again["bad"].is_null(), "{again}");
        }
    }
}

#[test]
fn an_input_may_begin_behind_others_and_others_may_follow_it() {
    let place = store_of("first\n");
    printed(given(&place, "append DIR --expect-size 1", "a\nb\n"));
    let resume = "append DIR --expect-size 1 --resume";
    assert_eq!(printed(given(&place, resume, "a\nb\nc\n")), head("first\na\nb\nc\n") + "found 2\n");
    printed(given(&place, "append DIR", "other\n"));
    let all = head("first\na\nb\nc\nother\n");
    assert_eq!(printed(given(&place, resume, "a\nb\nc\n")), format!("{all}found 3\n"));
    assert_eq!(printed(given(&place, resume, "")), format!("{all}found 0\n"));
    // What comes behind the other is not this input.
    let error = refused(given(&place, resume, "a\nb\nc\nd\n"), 1);
    assert!(error.ends_with("refused: record 4 of the input is not leaf 4 of the tree"), "{error}");
    assert_eq!(printed(duramen(&place, "head DIR")), all);
}

#[test]
fn another_input_is_refused_before_anything_is_appended() {
    let place = store_of("a\nb\n");
    for text in ["x\nb\nc\n", "a\nx\nc\n", "b\n"] {
        let json = told_error(given(&place, "append DIR --resume --json", text), 1);
        assert_eq!(json["kind"], "refused");
        assert_eq!(json["records"], json["durable"]);
        assert_eq!(printed(duramen(&place, "head DIR")), head("a\nb\n"));
    }
}

/// The JSON on standard error of a call that failed.
fn told_error(mut command: assert_cmd::Command, status: i32) -> Value {
    let output = command.assert().code(status).get_output().clone();
    serde_json::from_slice(&output.stderr).unwrap()
}

#[test]
fn a_tree_of_another_size_is_refused() {
    let place = store_of("a\nb\n");
    for (flags, expected) in [
        ("--expect-size 1", "expected 1"),
        ("--expect-size 3", "expected 3"),
        ("--expect-size 3 --resume", "expected at least 3"),
        ("--expect-size 0", "expected 0"),
    ] {
        let error = refused(given(&place, &format!("append DIR {flags}"), "c\n"), 1);
        let want = format!("duramen: refused: the tree \"main\" has 2 leaves, {expected}");
        assert_eq!(error, want);
    }
    assert_eq!(printed(given(&place, "append DIR --expect-size 2", "c\n")), head("a\nb\nc\n"));
    refused(given(&place, "append DIR --resume --unique", "c\n"), 2);
}

#[test]
fn nothing_is_created_where_that_was_not_asked_for() {
    let place = Place::new();
    for flags in ["--no-create", "--expect-size 1", "--expect-size 1 --resume"] {
        refused(given(&place, &format!("append DIR {flags}"), "a\n"), 3);
        assert!(!place.path("store").exists());
    }
    printed(given(&place, "append DIR --expect-size 0", "a\n"));
    let trees = printed(duramen(&place, "trees DIR"));
    refused(given(&place, "append DIR --no-create --tree other", "a\n"), 3);
    assert_eq!(printed(duramen(&place, "trees DIR")), trees);
    assert_eq!(printed(given(&place, "append DIR --no-create", "b\n")), head("a\nb\n"));
}

#[test]
fn a_run_that_was_killed_is_finished_by_the_next() {
    let text: String = (0..60_000).map(|n| format!("line {n}\n")).collect();
    for flags in ["", "--entries --compress 1"] {
        let place = Place::new();
        let input = place.file("input", &text);
        let mut found = Vec::new();
        for acks in [1, 700, 20_000] {
            let flags = format!("{flags} --resume --flush-policy interval:1ms {}", input.display());
            let mut child = appending(&place, &flags);
            child.stdin = None;
            assert_eq!(lines_of(&mut child).take(acks).map(Result::unwrap).count(), acks);
            child.kill().unwrap();
            child.wait().unwrap();
            found.push(acks);
        }
        let mut last = duramen(&place, &format!("append DIR {flags} --resume"));
        last.arg(&input);
        let out = printed(last);
        let (text_head, count) = out.split_once("found ").unwrap();
        assert_eq!(text_head, head(&text));
        assert!(count.trim().parse::<usize>().unwrap() >= 20_000, "{count}");
        if !flags.is_empty() {
            assert_eq!(printed(duramen(&place, "entries DIR")), text);
        }
    }
}

#[test]
fn a_failed_append_says_how_many_records_are_durable() {
    let place = Place::new();
    // The first records are durable before the file may grow no more.
    place.file("input", vec![7; 32 * 100_000]);
    let append = "append store --input raw --flush-policy interval:1ms --checkpoint-policy manual";
    let script = format!(
        "ulimit -f 1000; (head -c 3200 input; sleep 0.5; cat input) | \"$D\" {append} --json"
    );
    let (status, error) = status_of(place.dir(), &script);
    assert_eq!(status, Some(5), "{error}");
    // Before it stands what failed in the background.
    let json: Value = serde_json::from_str(error.lines().last().unwrap()).unwrap();
    let durable = json["durable"].as_u64().unwrap();
    assert!(
        (100..100_000).contains(&durable) && json["records"].as_u64() >= Some(durable),
        "{json}"
    );
    let said = format!("only the first {durable} are known to be durable");
    assert!(json["error"].as_str().unwrap().contains(&said), "{json}");
    let found = printed_json(duramen(&place, "head DIR --json"))["size"].as_u64().unwrap();
    assert!(found >= durable, "{found} of {durable}");
}

#[test]
fn a_record_that_is_bad_goes_to_a_file_and_the_input_goes_on() {
    let place = Place::new();
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let text = format!("{one}\nbad\n{two}\n\n{one}x");
    let line = "append DIR --input hex --skip-bad @rejects --json";
    let mut command = given(&place, line, text);
    let output = command.assert().success().get_output().clone();
    let leaves = [[0x11; 32], [0x22; 32]];
    let head = head_json(2, Function::Blake3.root(4, &leaves));
    let want = head.replace("}\n", ",\"bad\":3}\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), want);
    let said = "3 bad records are in ";
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with(&format!("duramen: {said}")), "{error}");
    assert!(
        error.contains("; the first: line 2 has 'b'") || error.contains("line 2 has"),
        "{error}"
    );
    let rejects = || std::fs::read_to_string(place.path("rejects")).unwrap();
    assert_eq!(rejects(), format!("bad\n\n{one}x\n"));
    // Later ones come behind them.
    let mut more = given(&place, "append DIR --input raw --skip-bad @rejects", [3; 40]);
    more.assert().success();
    assert_eq!(rejects(), format!("bad\n\n{one}x\n{}", "\u{3}".repeat(8)));
    // Without any there is nothing to say.
    let none = printed(given(&place, "append DIR --input hex --skip-bad @none", one));
    assert!(none.ends_with("\nbad 0\n"), "{none}");
}

#[test]
fn a_record_that_is_too_long_is_skipped_without_being_kept_in_memory() {
    let place = Place::new();
    let long = "x".repeat(5 << 20);
    let text = format!("a\n{long}\nb\n{long}");
    let mut command =
        given(&place, "append DIR --entries --longest 10 --skip-bad @rejects", text.clone());
    command.assert().success();
    assert_eq!(printed(duramen(&place, "entries DIR")), "a\nb\n");
    let rejects = std::fs::read_to_string(place.path("rejects")).unwrap();
    assert_eq!(rejects, format!("{long}\n{long}\n"));
}

#[test]
fn a_file_for_bad_records_that_cannot_be_written_is_an_error() {
    let place = Place::new();
    let line = "append DIR --input hex --skip-bad @no/such/file";
    let error = refused(given(&place, line, "bad\n"), 2);
    assert!(error.contains("cannot write ") && error.contains("/no/such/file"), "{error}");
    if std::path::Path::new("/dev/full").exists() {
        let line = "append DIR --input hex --skip-bad /dev/full";
        let good = "1".repeat(64);
        let error = refused(given(&place, line, format!("{good}\nbad\n")), 2);
        assert!(error.contains("stopped after 1 leaf") && error.contains("/dev/full"), "{error}");
    }
    assert_eq!(told(given(&place, "append DIR --input hex --ack", "bad\n"), 2), "");
}
