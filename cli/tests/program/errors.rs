//! What bad use and bad input get: one readable line, exit status 2, and nothing lost.

use crate::common::shell::status_of;
use crate::common::writer::Writer;
use crate::common::{
    Function, Place, duramen, given, head_json, head_text, hex, lines, printed, refused, store_of,
    told,
};

#[test]
fn a_missing_input_file_is_named_and_no_store_is_created() {
    let place = Place::new();
    let error = refused(duramen(&place, "append DIR no-such-file"), 2);
    assert!(error.starts_with("duramen: cannot read no-such-file: "), "{error}");
    assert!(!place.path("store").exists());
}

#[test]
fn a_directory_as_input_is_refused_and_no_store_is_created() {
    let place = Place::new();
    let error = refused(duramen(&place, "append DIR /"), 2);
    assert!(error.starts_with("duramen: cannot read /: "), "{error}");
    assert!(!place.path("store").exists());
}

#[test]
fn a_line_that_is_not_hex_is_named_and_the_leaves_before_it_are_kept() {
    let place = Place::new();
    let good = [[1; 32], [2; 32]];
    let text = format!("{}\n{}\n12 monkeys\n{}\n", hex(&good[0]), hex(&good[1]), hex(&good[1]));
    let file = place.file("input.hex", text);
    let mut command = duramen(&place, "append DIR --input hex");
    command.arg(&file);
    let error = refused(command, 2);
    assert_eq!(
        error,
        format!(
            "duramen: stopped after 2 leaves of {}, which are appended and durable; the tree has \
             2 leaves: bad input: line 3 has ' ' at character 3, which is not a hexadecimal digit",
            file.display()
        )
    );
    let root = Function::Blake3.root(4, &good);
    assert_eq!(printed(duramen(&place, "head DIR --json")), head_json(2, root));
}

#[test]
fn a_hex_line_of_the_wrong_length_is_named() {
    let place = Place::new();
    let command = given(&place, "append DIR --input hex", "abcd\n");
    let error = refused(command, 2);
    assert!(
        error.ends_with("line 1 has 4 characters, a leaf has 64 hexadecimal digits"),
        "{error}"
    );
}

#[test]
fn a_cut_raw_leaf_is_named_and_the_leaves_before_it_are_kept() {
    let place = Place::new();
    let command = given(&place, "append DIR --input raw", [7; 100]);
    let error = refused(command, 2);
    assert!(
        error.ends_with(
            "the input ends at byte 100, 4 bytes into the leaf that starts at byte 96: \
             raw leaves have 32 bytes"
        ),
        "{error}"
    );
    assert!(error.contains("stopped after 3 leaves of standard input"), "{error}");
    let root = Function::Blake3.root(4, &[[7; 32]; 3]);
    assert_eq!(printed(duramen(&place, "head DIR --json")), head_json(3, root));
}

#[test]
fn leaves_before_a_bad_one_are_acknowledged() {
    let place = Place::new();
    assert_eq!(told(given(&place, "append DIR --input raw --ack", [7; 65]), 2), "0\n1\n");
}

#[test]
fn another_hasher_or_arity_is_refused_with_both_named_and_nothing_is_appended() {
    let place = store_of("a\nb\n");
    let error = refused(duramen(&place, "append DIR --hasher sha256"), 2);
    assert!(error.contains("blake3") && error.contains("rfc6962-sha256"), "{error}");
    let error = refused(duramen(&place, "append DIR --arity 16"), 2);
    assert!(error.contains("arity 4") && error.contains("16"), "{error}");
    let root = Function::Blake3.root(4, &lines(Function::Blake3, b"a\nb"));
    assert_eq!(printed(duramen(&place, "head DIR --json")), head_json(2, root));
}

#[test]
fn reading_where_no_store_is_says_so_and_creates_none() {
    for line in ["head DIR", "prove DIR 0"] {
        let place = Place::new();
        let error = refused(duramen(&place, line), 3);
        assert!(error.starts_with("duramen: there is no store in "), "{error}");
        assert!(!place.path("store").exists());

        std::fs::create_dir(place.path("store")).unwrap();
        let error = refused(duramen(&place, line), 3);
        assert!(error.starts_with("duramen: there is no store in "), "{error}");
        assert_eq!(std::fs::read_dir(place.path("store")).unwrap().count(), 0);
    }
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_alone() {
    for line in ["head DIR", "prove DIR 0", "append DIR"] {
        let place = Place::new();
        std::fs::create_dir(place.path("store")).unwrap();
        place.file("store/notes.txt", "mine");
        let error = refused(duramen(&place, line), 3);
        assert!(error.contains(&place.path("store").display().to_string()), "{error}");
        let names: Vec<_> = std::fs::read_dir(place.path("store"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["notes.txt"], "{line}");
    }
}

#[test]
fn a_file_where_the_directory_should_be_is_refused() {
    for line in ["head DIR", "append DIR"] {
        let place = Place::new();
        place.file("store", "mine");
        let error = refused(duramen(&place, line), 2);
        assert!(error.contains(&place.path("store").display().to_string()), "{error}");
        assert_eq!(std::fs::read(place.path("store")).unwrap(), b"mine");
    }
}

#[test]
fn an_index_or_size_beyond_the_tree_is_refused_with_the_size() {
    let place = store_of("a\nb\nc\n");
    let most = u64::MAX;
    for (line, told) in [
        ("prove DIR 3", "index 3 is not in a tree of size 3"),
        ("prove DIR 2 --size 2", "index 2 is not in a tree of size 2"),
        ("prove DIR 0 --size 4", "size 4 is beyond the tree's 3 leaves"),
        ("head DIR --size 4", "size 4 is beyond the tree's 3 leaves"),
        (&format!("prove DIR {most}"), "index 18446744073709551615 is not in a tree of size 3"),
        (&format!("head DIR --size {most}"), "beyond the tree's 3 leaves"),
    ] {
        let error = refused(duramen(&place, line), 2);
        assert!(error.contains(told), "{line}: {error}");
    }
}

#[test]
fn bad_use_is_told_in_one_line() {
    let place = Place::new();
    let cases = [
        ("", "subcommand"),
        ("grow DIR", "grow"),
        ("append", "<DIR>"),
        ("append DIR --input xml", "xml"),
        ("append DIR --arity 3", "2, 4, 8 or 16"),
        ("append DIR --hasher md5", "md5"),
        ("append DIR --flush-policy interval:0ms", "longer than zero"),
        ("append DIR --flush-policy sometimes", "flush policy"),
        ("append DIR --checkpoint-policy every:0", "above zero"),
        ("append DIR --checkpoint-policy never", "never"),
        ("head DIR --size -1", "-1"),
        ("prove DIR first", "first"),
    ];
    for (line, told) in cases {
        let error = refused(duramen(&place, line), 2);
        assert!(error.contains(told), "{line}: {error}");
        assert!(!place.path("store").exists());
    }
}

#[test]
fn a_store_in_use_is_refused_and_unharmed() {
    let place = Place::new();
    let mut first = Writer::new(&place, "");
    first.append("a\n");

    let second = given(&place, "append DIR", "intruder\n");
    let error = refused(second, 4);
    assert!(error.contains(&place.path("store").display().to_string()), "{error}");

    first.append("b\n");
    let root = Function::Blake3.root(4, &lines(Function::Blake3, b"a\nb"));
    assert_eq!(first.end(), head_text(2, root));
    assert_eq!(printed(duramen(&place, "head DIR --json")), head_json(2, root));
}

#[test]
fn help_and_version_are_no_mistakes() {
    let place = Place::new();
    assert!(printed(duramen(&place, "--help")).contains("append"));
    assert!(printed(duramen(&place, "append --help")).contains("--ack"));
    assert!(printed(duramen(&place, "--version")).starts_with("duramen "));
}

#[test]
fn a_failure_of_the_log_does_not_hide_why_the_input_stopped() {
    let place = Place::new();
    // A leaf is cut, and all before it are one group, for which no file may grow enough.
    place.file("input", vec![7; 32 * 100_000 + 5]);
    let append = "append store --input raw --flush-policy manual input";
    let (status, error) = status_of(place.dir(), &format!("ulimit -f 1000; \"$D\" {append}"));
    assert_eq!(status, Some(2), "{error}");
    let stopped = "stopped after 100000 leaves of input, which are appended and not known to be durable; \
                   the tree has 100000 leaves: bad input: the input ends at byte 3200005, 5 bytes into the leaf \
                   that starts at byte 3200000: raw leaves have 32 bytes; ";
    assert!(error.starts_with(&format!("duramen: {stopped}")), "{error}");
    assert_eq!(error.matches("File too large").count(), 1, "{error}");
}
