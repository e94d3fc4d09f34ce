//! `head` and `prove` beside a program that has the store open.

use crate::common::writer::Writer;
use crate::common::{Function, Place, duramen, given, head_text, lines, printed, refused};

#[test]
fn head_and_prove_work_beside_a_writer_and_a_second_writer_is_refused() {
    let place = Place::new();
    let mut writer = Writer::new(&place, "");
    let text = "one\ntwo\nthree\n";
    writer.append(text);
    let root = Function::Blake3.root(4, &lines(Function::Blake3, text.as_bytes()));
    assert_eq!(printed(duramen(&place, "head DIR")), head_text(3, root));
    assert!(printed(duramen(&place, "prove DIR 1 --json")).contains("\"size\":3"));
    assert!(printed(duramen(&place, "fsck DIR")).ends_with("3 leaves\n"));
    assert!(printed(duramen(&place, "scrub DIR")).ends_with("no damage\n"));
    assert!(refused(given(&place, "append DIR", "four\n"), 4).contains("already open"));
    assert_eq!(writer.end(), head_text(3, root));
    assert_eq!(printed(duramen(&place, "head DIR")), head_text(3, root));
}
