//! Settings from a file and from the environment.

use crate::common::{Place, duramen, given, printed, refused};

#[test]
fn a_file_and_the_environment_set_what_the_command_line_does_not() {
    let place = Place::new();
    place.file("settings", "[append]\ntree = \"file\"\nentries = true\n[trees]\njson = true\n");
    let trees = |flags: &str| printed(duramen(&place, &format!("{flags} trees DIR")));
    printed(given(&place, "append DIR --config @settings", "a\n"));
    assert_eq!(
        trees(""),
        "file: 1 leaf, blake3, arity 4, with entries of up to 65535 bytes, not compressed\n"
    );
    assert!(trees("--config @settings").starts_with("{\"store\":"));
    let mut command = given(&place, "append DIR --config @settings", "b\n");
    command.env("DURAMEN_APPEND_TREE", "variable");
    printed(command);
    let mut command = given(&place, "append DIR --tree line", "c\n");
    command.env("DURAMEN_CONFIG", place.path("settings")).env("DURAMEN_APPEND_TREE", "variable");
    printed(command);
    let names: Vec<String> =
        trees("").lines().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["file", "line", "variable"]);
}

#[test]
fn a_setting_that_no_command_has_or_that_cannot_be_is_refused_by_name() {
    let place = Place::new();
    for (text, error) in [
        ("[apend]\n", "apend is no setting"),
        ("[append]\ntre = \"x\"\n", "append tre is no setting"),
        ("[drop-tree]\nyes = true\n", "drop-tree yes is no setting"),
        ("[verify.inclusion]\nx = 1\n", "verify inclusion x is no setting"),
        ("append = 1\n", "append is a command and has settings"),
        ("[append]\nack = \"yes\"\n", "append ack: it is true or false"),
        ("[append]\ntree = true\n", "append tree: it is not true or false"),
        ("[append\n", "is no file of settings"),
    ] {
        place.file("settings", text);
        let told = refused(given(&place, "append DIR --config @settings", ""), 2);
        assert!(told.contains(error), "{text}: {told}");
        assert!(!place.path("store").exists());
    }
    place.file("settings", "[append]\narity = 3\n");
    let told = refused(given(&place, "append DIR --config @settings", ""), 2);
    assert!(told.contains("2, 4, 8 or 16"), "{told}");
    refused(given(&place, "append DIR --config @missing", ""), 2);
}

#[test]
fn the_settings_that_are_printed_are_a_file_that_sets_them() {
    let place = Place::new();
    place.file(
        "settings",
        "log-format = \"json\"\n[append]\nflush-policy = \"manual\"\narity = 8\nack = true\n",
    );
    let text = printed(duramen(&place, "config --config @settings"));
    for line in
        ["log-format = \"json\"", "flush-policy = \"manual\"", "arity = \"8\"", "ack = true"]
    {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(text.contains("\n# tree = \"main\"\n") && text.contains("\n# wait-lock =\n"), "{text}");
    assert!(text.contains("\n[verify.inclusion]\n"), "{text}");
    let lines = |text: &str| -> Vec<String> { text.lines().skip(2).map(str::to_owned).collect() };
    place.file("printed", &text);
    assert_eq!(lines(&printed(duramen(&place, "config --config @printed"))), lines(&text));
    // Without settings nothing but comments and tables is printed.
    let text = printed(duramen(&place, "config"));
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with(['#', '['])), "{text}");
}
