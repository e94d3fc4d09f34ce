//! The kinds of input.

use crate::common::{
    Function, ODD, Place, duramen, entries_of, given, head_text, hex, lines, printed,
    printed_bytes, refused,
};

fn base64(data: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in data.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = char::from(alphabet[(bits >> (18 - 6 * at) & 63) as usize]);
            out.push(if at <= group.len() { digit } else { '=' });
        }
    }
    out
}

#[test]
fn data_is_the_same_leaf_in_every_kind_of_input() {
    let records: Vec<&[u8]> = ODD.split(|byte| *byte == b'\n').collect();
    let want = head_text(records.len(), Function::Blake3.root(4, &lines(Function::Blake3, ODD)));
    // A record with a zero byte cannot be one of nul.
    let without_zeros: Vec<&[u8]> =
        records.iter().copied().filter(|record| !record.contains(&0)).collect();
    let in_base64: String = records.iter().map(|record| base64(record) + "\r\n").collect();
    let source = entries_of(ODD, "");
    let in_json = printed_bytes(duramen(&source, "entries DIR --format jsonl"));
    for flags in ["", "--entries", "--entries --compress 3", "--unique"] {
        for (kind, text) in [
            ("lines", ODD.to_vec()),
            ("base64", in_base64.clone().into()),
            ("jsonl", in_json.clone()),
        ] {
            let place = Place::new();
            let command = given(&place, &format!("append DIR --input {kind} {flags}"), text);
            assert_eq!(printed(command), want, "{kind} {flags}");
        }
        let place = Place::new();
        let command =
            given(&place, &format!("append DIR --input nul {flags}"), without_zeros.join(&0));
        let leaves: Vec<_> = without_zeros.iter().map(|data| Function::Blake3.leaf(data)).collect();
        assert_eq!(printed(command), head_text(leaves.len(), Function::Blake3.root(4, &leaves)));
    }
}

#[test]
fn a_record_that_ends_with_a_zero_byte_may_have_newlines() {
    let place = Place::new();
    printed(given(&place, "append DIR --entries --input nul", "one\ntwo\0\0three"));
    let hexes = printed(duramen(&place, "entries DIR --format hex"));
    assert_eq!(hexes, format!("{}\n\n{}\n", hex(b"one\ntwo"), hex(b"three")));
}

#[test]
fn a_leaf_in_json_needs_no_entry_where_none_are_kept() {
    let place = Place::new();
    let leaf = Function::Blake3.leaf(b"x");
    let text = format!("{{\"leaf\":\"{}\"}}\n{{\"entry\":\"y\"}}\n", hex(&leaf));
    let root = Function::Blake3.root(4, &[leaf, Function::Blake3.leaf(b"y")]);
    let command = given(&place, "append DIR --input jsonl", text.clone());
    assert_eq!(printed(command), head_text(2, root));
    let place = Place::new();
    let error = refused(given(&place, "append DIR --input jsonl --entries", text), 2);
    assert!(
        error.ends_with("line 1 has a leaf without its entry, which the tree keeps"),
        "{error}"
    );
}

#[test]
fn a_carriage_return_is_left_out_where_that_is_asked_for() {
    let text = "one\r\ntwo\r\r\nthree\n\r\nlast\r";
    let place = Place::new();
    printed(given(&place, "append DIR --entries --longest 5 --strip-cr", text));
    assert_eq!(printed(duramen(&place, "entries DIR")), "one\ntwo\r\nthree\n\nlast\n");
    for kind in ["nul", "hex", "raw", "base64", "jsonl"] {
        refused(given(&place, &format!("append DIR --strip-cr --input {kind}"), ""), 2);
    }
}

#[test]
fn text_that_is_no_record_is_named_by_its_line() {
    for (kind, text, error) in [
        ("base64", "Zm9v\nZm9\n", "line 2 is not base64: "),
        ("jsonl", "{\"entry\":\"\"}\n[]\n", "line 2 is not an entry in JSON: "),
        ("jsonl", "{\"entry\":\"\"}\n\n", "line 2 is not an entry in JSON: "),
    ] {
        let place = Place::new();
        let told = refused(given(&place, &format!("append DIR --input {kind}"), text), 2);
        assert!(told.contains("stopped after 1 leaf of ") && told.contains(error), "{told}");
    }
    let place = Place::new();
    let line = "append DIR --input nul --entries --longest 2";
    let told = refused(given(&place, line, "ab\0abc\0"), 2);
    assert!(told.ends_with("record 2 has 3 bytes, an entry of the tree has at most 2"), "{told}");
}
