//! The manual, docs/cli.md, has the commands and options that the program has, and no others.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, Command, CommandFactory};

use super::Args;

/// The sections of the manual, by the command that heads them.
fn sections() -> BTreeMap<String, String> {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let sections = manual.split("\n## ").skip(1);
    let sections = sections.filter_map(|section| section.split_once('\n'));
    sections.map(|(head, text)| (head.to_owned(), text.to_owned())).collect()
}

/// The text of the blocks of a kind, and the text outside of all blocks.
fn blocks(section: &str, kind: &str) -> (String, String) {
    let (mut inside, mut outside) = (String::new(), String::new());
    let mut block = None;
    for line in section.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(_), Some(_)) => block = None,
            (Some(begun), None) => block = Some(begun),
            (None, Some(begun)) if begun == kind => inside += &format!("{line}\n"),
            (None, Some(_)) => {}
            (None, None) => outside += &format!("{line}\n"),
        }
    }
    (inside, outside)
}

/// The forms in which a synopsis calls the command of this path, each in one line.
fn forms(synopsis: &str, path: &[&str]) -> Vec<String> {
    let whole = synopsis.replace("\n ", " ");
    let calls = |line: &&str| line.split_whitespace().take(path.len()).eq(path.iter().copied());
    whole.lines().filter(calls).map(str::to_owned).collect()
}

/// The options in a text, `--long` and `-s`, with what stands behind each.
fn options(text: &str) -> Vec<(String, String)> {
    let words = text.split(|c: char| c.is_whitespace() || "[]()`,;:|.".contains(c) && c != '|');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let is_option = |word: &str| {
        let name =
            word.strip_prefix("--").or_else(|| word.strip_prefix('-').filter(|n| n.len() == 1));
        name.is_some_and(|name| {
            name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        })
    };
    let next = |at: usize| words.get(at + 1).copied().unwrap_or_default().to_owned();
    let found = words.iter().enumerate().filter(|(_, word)| is_option(word));
    found.map(|(at, word)| ((*word).to_owned(), next(at))).collect()
}

/// How an option can be written.
fn spellings(arg: &Arg) -> Vec<String> {
    let long = arg.get_long().map(|long| format!("--{long}"));
    long.into_iter().chain(arg.get_short().map(|short| format!("-{short}"))).collect()
}

/// The options of a command, without those that every command has.
fn args(command: &Command) -> Vec<&Arg> {
    let all = command.get_arguments().filter(|arg| !spellings(arg).is_empty());
    let all = all.filter(|arg| !arg.is_global_set());
    all.filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())).collect()
}

fn check(command: &Command, path: &[&str], section: &str, wrong: &mut Vec<String>) {
    let (synopsis, prose) = blocks(section, "text");
    let forms = forms(&synopsis, path).join("\n");
    let shown = options(&forms);
    let path = path.join(" ");
    if forms.is_empty() {
        wrong.push(format!("{path}: no synopsis"));
    }
    let known: BTreeSet<String> = args(command).into_iter().flat_map(spellings).collect();
    for (option, _) in shown.iter().filter(|(option, _)| !known.contains(option)) {
        wrong.push(format!("{path}: the synopsis has {option}, the program does not"));
    }
    for arg in args(command) {
        let names = spellings(arg);
        let Some((_, value)) = shown.iter().find(|(option, _)| names.contains(option)) else {
            wrong.push(format!("{path}: the synopsis lacks {names:?}"));
            continue;
        };
        if !options(&prose).iter().any(|(option, _)| *option == names[0]) {
            wrong.push(format!("{path}: {} is not explained", names[0]));
        }
        let values = arg.get_possible_values();
        let values: Vec<&str> = values
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(clap::builder::PossibleValue::get_name)
            .collect();
        let takes = arg.get_num_args().is_some_and(|number| number.takes_values());
        if takes && !values.is_empty() && !arg.is_hide_possible_values_set() {
            if *value != values.join("|") {
                wrong.push(format!(
                    "{path}: {} takes {values:?}, the synopsis has {value}",
                    names[0]
                ));
            }
        } else if takes && value.contains('|') {
            let hidden =
                |value: &str| values.contains(&value) || value.contains(char::is_uppercase);
            let unknown = !value.split('|').all(|value| value == "manual" || hidden(value));
            if unknown {
                wrong.push(format!("{path}: {} does not take {value}", names[0]));
            }
        }
        for default in arg.get_default_values().iter().filter_map(|default| default.to_str()) {
            let says = |line: &str| line.contains(&names[0]) && line.contains(default);
            if takes && !prose.lines().any(says) {
                wrong.push(format!("{path}: the default of {}, {default}, is not named", names[0]));
            }
        }
    }
}

#[test]
fn the_manual_and_the_program_have_the_same_commands_and_options() {
    let sections = sections();
    let mut program = Args::command();
    program.build();
    let mut wrong = Vec::new();
    let mut commands = BTreeSet::new();
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_name();
        commands.insert(name.to_owned());
        let Some(section) = sections.get(name) else {
            wrong.push(format!("no section for {name}"));
            continue;
        };
        let subs: Vec<&Command> =
            command.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
        if subs.is_empty() {
            check(command, &["duramen", name], section, &mut wrong);
        }
        for sub in &subs {
            check(sub, &["duramen", name, sub.get_name()], section, &mut wrong);
        }
        // What the prose and the tables name is an option of this command.
        let known: BTreeSet<String> = subs
            .into_iter()
            .chain([command])
            .flat_map(|command| args(command).into_iter().flat_map(spellings))
            .chain(program.get_arguments().filter(|arg| arg.is_global_set()).flat_map(spellings))
            .collect();
        for (option, _) in options(&blocks(section, "text").1) {
            if !known.contains(&option) {
                wrong.push(format!("{name}: the text has {option}, the program does not"));
            }
        }
    }
    let shared = "What all commands share";
    let (_, prose) = blocks(&sections[shared], "text");
    for arg in program.get_arguments().filter(|arg| arg.is_global_set()) {
        if !options(&prose).iter().any(|(option, _)| spellings(arg).contains(option)) {
            wrong.push(format!("{shared}: {:?} is not explained", spellings(arg)));
        }
    }
    for section in sections.keys().filter(|section| *section != shared) {
        if !commands.contains(section) {
            wrong.push(format!("the manual has {section}, the program does not"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn options_are_found_in_texts() {
    let text =
        "duramen x [--input lines|hex] (--leaf HEX | --data FILE) `-o`, `--out` - --- a-b -ab";
    let found: Vec<String> = options(text).into_iter().map(|(option, _)| option).collect();
    assert_eq!(found, ["--input", "--leaf", "--data", "-o", "--out"]);
    assert_eq!(options(text)[0].1, "lines|hex");
}
