//! Standard input, output and error that are shared, closed or full.

use serde_json::json;

use crate::common::shell::{shell, status_of};
use crate::common::store::{COUNT, Store};
use crate::common::{Function, Place, duramen, given, printed, refused, store_of};

#[test]
fn the_exit_status_is_the_same_when_nothing_can_be_said_about_it() {
    let place = store_of("a\nb\n");
    printed(duramen(&place, "prove DIR 0 -o @proof"));
    let zeros = "0".repeat(64);
    let verify = format!("verify inclusion proof --head 2:{zeros} --index 0 --leaf {zeros}");
    for (line, status) in [
        ("head nowhere", 3),
        ("--no-such-option", 2),
        ("", 2),
        ("append store nowhere", 2),
        ("append store --arity 16 </dev/null", 2),
        ("dump nowhere", 2),
        ("fsck nowhere", 3),
        (verify.as_str(), 1),
        ("head store", 0),
        ("scrub store", 0),
    ] {
        for stream in ["2>/dev/full", "2>&-"] {
            let script = format!("\"$D\" {line} >/dev/null {stream}");
            assert_eq!(status_of(place.dir(), &script).0, Some(status), "{script}");
        }
    }
}

#[test]
fn whatever_cannot_be_printed_is_an_error() {
    let store = Store::new(Function::Sha256, 2);
    let place = &store.place;
    printed(duramen(place, "keygen example.com/log -o @key"));
    printed(duramen(place, "head DIR --format checkpoint --key @key --first-anchor"));
    printed(duramen(place, "prove DIR 3 -o @proof"));
    let (head, leaf) = (store.head(COUNT), store.leaf(3));
    for line in [
        "--help".to_owned(),
        "--version".to_owned(),
        "head --help".to_owned(),
        "head store".to_owned(),
        "head store --json".to_owned(),
        "head store --format checkpoint --key key".to_owned(),
        "prove store 3".to_owned(),
        "prove store 3 -o -".to_owned(),
        "prove store 3 --format tlog-proof --key key".to_owned(),
        "prove-consistency store 3".to_owned(),
        format!("verify inclusion proof --head {head} --index 3 --leaf {leaf}"),
        "fsck store".to_owned(),
        "fsck store --json".to_owned(),
        "scrub store".to_owned(),
        "backup store copy".to_owned(),
        "keygen --public key".to_owned(),
        "dump store/parts/00000001.part".to_owned(),
        "append store </dev/null".to_owned(),
        "append store --ack proof".to_owned(),
    ] {
        // The second is open for reading.
        for output in [">/dev/full", "1</dev/null"] {
            let _ = std::fs::remove_dir_all(place.path("copy"));
            let (status, error) = status_of(place.dir(), &format!("\"$D\" {line} {output}"));
            assert_eq!(status, Some(2), "{line} {output}: {error}");
            assert!(error.contains("cannot write standard output: "), "{line} {output}: {error}");
            assert_eq!(error.lines().count(), 1, "{line} {output}: {error}");
        }
    }
}

#[test]
fn standard_input_has_one_reader() {
    let store = Store::new(Function::Blake3, 4);
    let proof = store.prove(3, COUNT).to_string();
    let head = store.head(COUNT);
    for flags in [
        format!("--head {head} --index 3 --data -"),
        format!("--head {head} --index 3 --data /dev/stdin"),
        format!("--head {head} --leaves -"),
    ] {
        let error = refused(store.verify(&proof, &flags), 2);
        assert_eq!(error, "duramen: standard input can be read only once", "{flags}");
    }
    store.place.file("proof", &proof);
    let line =
        format!("verify inclusion @proof --head {head} --index 3 --index 3 --data - --data -");
    let error = refused(given(&store.place, &line, "entry 3"), 2);
    assert_eq!(error, "duramen: standard input can be read only once");
    // Once is enough.
    let line = format!("verify inclusion @proof --head {head} --index 3 --data -");
    printed(given(&store.place, &line, "entry 3"));
}

#[test]
fn a_message_says_where_to_read_on_once() {
    let place = Place::new();
    for line in ["head DIR --size x", "head", "grow", "append DIR --hasher md5", "head DIR --bogus"]
    {
        let error = refused(duramen(&place, line), 2);
        assert_eq!(error.matches("--help").count(), 1, "{error}");
        assert!(!error.contains("For more information"), "{error}");
    }
}

#[test]
fn what_a_long_proof_says_of_itself_is_told_in_short() {
    let store = Store::new(Function::Blake3, 4);
    let long = "\u{1b}x".repeat(1 << 20);
    let flags = format!("--head {} --index 3 --leaf {}", store.head(COUNT), store.leaf(3));
    for field in ["kind", "hasher", "root", "leaf"] {
        let mut proof = store.prove(3, COUNT);
        proof[field] = json!(long);
        let error = refused(store.verify(&proof.to_string(), &flags), 2);
        assert!(error.len() < 1000 && !error.contains('\u{1b}'), "{field}: {} bytes", error.len());
    }
    let mut proof = store.prove(3, COUNT);
    proof[&long] = json!(1);
    let error = refused(store.verify(&proof.to_string(), &flags), 2);
    assert!(error.len() < 20_000 && !error.contains('\u{1b}'), "{} bytes", error.len());
}

#[test]
fn the_data_of_a_leaf_may_be_larger_than_the_memory() {
    for function in [Function::Sha256, Function::Blake3] {
        let store = Store::new(function, 2);
        printed(duramen(&store.place, "prove DIR 3 -o @proof"));
        let large = std::fs::File::create(store.place.path("large")).unwrap();
        large.set_len(1 << 30).unwrap();
        let head = store.head(COUNT);
        let script = format!(
            "ulimit -v 400000 && \"$D\" verify inclusion proof --head {head} --index 3 --data large"
        );
        let output = shell(store.place.dir(), &script);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with("duramen: refused: the proof is for leaf "), "{error}");
    }
}
