//! `find`, `index` and `append --unique`.

use serde_json::json;

use crate::common::{Function, Place, duramen, given, hex, lines, printed, printed_json, refused};

const TEXT: &[u8] = b"one\ntwo\none\nthree\ntwo\none\n";

fn appended(flags: &str) -> Place {
    let place = Place::new();
    printed(given(&place, &format!("append DIR {flags}"), TEXT));
    place
}

#[test]
fn a_leaf_is_found_by_its_hash_and_by_its_data_with_an_index_and_without() {
    let leaves = lines(Function::Blake3, TEXT);
    for flags in ["", "--entries", "--checkpoint-policy close"] {
        let place = appended(flags);
        for indexed in [false, true] {
            if indexed {
                assert_eq!(printed(duramen(&place, "index DIR")), "");
                // A second time changes nothing.
                assert_eq!(printed(duramen(&place, "index DIR")), "");
            }
            for (leaf, first, all) in [(0, "0", "0\n2\n5\n"), (1, "1", "1\n4\n"), (3, "3", "3\n")] {
                let leaf = hex(&leaves[leaf]);
                assert_eq!(
                    printed(duramen(&place, &format!("find DIR {leaf}"))),
                    format!("{first}\n")
                );
                assert_eq!(printed(duramen(&place, &format!("find DIR {leaf} --all"))), all);
            }
            let json = printed_json(duramen(
                &place,
                &format!("find DIR {} --all --json", hex(&leaves[1])),
            ));
            assert_eq!(json, json!({ "leaf": hex(&leaves[1]), "indexes": [1, 4] }));
            assert_eq!(printed(given(&place, "find DIR --data -", "three")), "3\n");
            let absent = hex(&[7; 32]);
            let told = refused(duramen(&place, &format!("find DIR {absent}")), 1);
            assert!(told.contains(&format!("the tree \"main\" has no leaf {absent}")), "{told}");
        }
        let trees = printed_json(duramen(&place, "trees DIR --json"));
        assert_eq!(trees["trees"][0]["indexed"], true);
        assert!(printed(duramen(&place, "trees DIR")).contains(", indexed"));
        assert!(printed(duramen(&place, "fsck DIR")).lines().count() > 1);
    }
}

#[test]
fn unique_records_are_appended_once_and_acknowledged_with_the_index_that_they_have() {
    let place = Place::new();
    let acked = printed(given(&place, "append DIR --unique --ack --entries", TEXT));
    let indexes: Vec<_> = acked.lines().take(6).collect();
    assert_eq!(indexes, ["0", "1", "0", "2", "1", "0"]);
    assert!(acked.contains("size 3"), "{acked}");
    // Again, in another run, with one new line.
    let again = [TEXT, b"four\n"].concat();
    let acked = printed(given(&place, "append DIR --unique --ack", again));
    let indexes: Vec<_> = acked.lines().take(7).collect();
    assert_eq!(indexes, ["0", "1", "0", "2", "1", "0", "3"]);
    assert_eq!(printed(duramen(&place, "entries DIR")), "one\ntwo\nthree\nfour\n");
    // Without the flag everything is appended.
    printed(given(&place, "append DIR", TEXT));
    assert_eq!(printed(duramen(&place, "entries DIR")).lines().count(), 10);
}

#[test]
fn what_cannot_be_found_or_indexed_is_refused() {
    let place = appended("");
    refused(duramen(&place, "find DIR"), 2);
    refused(duramen(&place, "find DIR abc"), 2);
    refused(duramen(&place, &format!("find DIR {} --tree other", hex(&[7; 32]))), 3);
    refused(duramen(&place, "index DIR --tree other"), 3);
    refused(duramen(&Place::new(), "index DIR"), 3);
}
