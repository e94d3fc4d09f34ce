//! `duramen diff` and `duramen restore`.

use serde_json::{Value, json};

use crate::common::{Place, duramen, given, printed, printed_json, refused, store_of, told};

fn store(place: &Place, name: &str, text: &str) {
    printed(given(place, &format!("append @{name}"), text));
}

/// The first tree, as `diff --json` has it.
fn tree(json: &Value) -> Value {
    json["trees"][0].clone()
}

#[test]
fn the_first_leaf_that_differs_is_found_wherever_it_is() {
    let place = Place::new();
    let text = |size: u32, other: u32| -> String {
        (0..size).map(|n| format!("{}{n}\n", if n >= other { "x" } else { "" })).collect()
    };
    store(&place, "a", &text(70, 100));
    for (number, other) in (0..70).chain([100]).enumerate() {
        for size in [other, other + 1, 70, 75] {
            let name = format!("b{number}-{size}");
            store(&place, &name, &text(size, other));
            let line = format!("diff @a @{name} --json");
            let (relation, common) = match size.cmp(&70) {
                _ if size > other && other < 70 => ("diverged", other),
                std::cmp::Ordering::Less => ("second-is-prefix", size),
                std::cmp::Ordering::Equal => ("equal", 70),
                std::cmp::Ordering::Greater => ("first-is-prefix", 70),
            };
            let status = i32::from(relation == "diverged");
            let found = serde_json::from_str(&told(duramen(&place, &line), status)).unwrap();
            let want = json!({"tree": "main", "sizes": [70, size], "common": common, "relation": relation});
            assert_eq!(tree(&found), want, "{other} {size}");
            if number % 10 != 0 {
                break;
            }
        }
    }
}

#[test]
fn a_backup_is_the_same_store_until_both_go_on() {
    let place = store_of("a\nb\n");
    printed(duramen(&place, "backup DIR @copy"));
    let text = printed(duramen(&place, "diff DIR @copy"));
    assert!(
        text.starts_with("both are the store ") && text.ends_with("\nmain: equal, 2 leaves\n"),
        "{text}"
    );
    printed(given(&place, "append DIR", "c\n"));
    let text = printed(duramen(&place, "diff DIR @copy"));
    assert!(text.ends_with("main: 2 leaves in common, the first has 1 more\n"), "{text}");
    printed(given(&place, "append @copy", "other\n"));
    let mut command = duramen(&place, "diff DIR @copy");
    let output = command.assert().code(1).get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("main: DIVERGED: 2 leaves in common, leaf 2 differs\n"), "{text}");
    let error = refused(duramen(&place, "diff DIR @copy --json"), 1);
    assert_eq!(error, "duramen: refused: one tree has different leaves in the two stores");
}

#[test]
fn trees_that_only_one_has_or_that_are_of_another_kind_are_named() {
    let place = store_of("a\n");
    store(&place, "b", "a\n");
    printed(given(&place, "append DIR --tree mine", "x\n"));
    printed(given(&place, "append @b --tree theirs", "x\n"));
    let json = printed_json(duramen(&place, "diff DIR @b --json"));
    assert_eq!(json["same_store"], false);
    let relations: Vec<&Value> =
        json["trees"].as_array().unwrap().iter().map(|tree| &tree["relation"]).collect();
    assert_eq!(relations, ["equal", "only-first", "only-second"]);
    printed(given(&place, "append @c --arity 2", "a\n"));
    let text = told(duramen(&place, "diff DIR @c"), 1);
    assert!(text.contains("main: other hash functions or arities\n"), "{text}");
    refused(duramen(&place, "diff DIR @nowhere"), 3);
}

#[test]
fn a_backup_is_restored_only_if_it_has_the_trusted_head() {
    let place = store_of("a\nb\nc\n");
    let head = |size: u32| {
        let json = printed_json(duramen(&place, &format!("head DIR --size {size} --json")));
        format!("{size}:{}", json["root"].as_str().unwrap())
    };
    printed(duramen(&place, "backup DIR @copy"));
    printed(given(&place, "append DIR", "d\n"));
    for size in 0..=3 {
        let line = format!("restore @copy @new{size} --against {}", head(size));
        let text = printed(duramen(&place, &line));
        assert!(text.starts_with("size 3\n"), "{text}");
        printed(duramen(&place, &format!("scrub @new{size}")));
        printed(given(&place, &format!("append @new{size}"), "d\n"));
        let text = printed(duramen(&place, &format!("diff DIR @new{size}")));
        assert!(text.ends_with("main: equal, 4 leaves\n"), "{text}");
    }
    let other = format!("3:{}", "0".repeat(64));
    for (against, why) in
        [(head(4), "has 3 leaves, expected at least 4"), (other, "at size 3, where that of")]
    {
        let line = format!("restore @copy @no --against {against}");
        let error = refused(duramen(&place, &line), 1);
        assert!(error.contains(why), "{error}");
        assert!(!place.path("no").exists());
    }
    refused(duramen(&place, "restore @copy DIR"), 2);
    // A copy without a manifest is what an interrupted backup leaves.
    std::fs::remove_dir_all(place.path("new0/manifest")).unwrap();
    for line in ["head @new0", "append @new0", "restore @new0 @no"] {
        let error = refused(given(&place, line, ""), 6);
        assert!(error.contains("a backup that was interrupted"), "{error}");
    }
    refused(duramen(&place, "restore @nothing @no"), 3);
}
