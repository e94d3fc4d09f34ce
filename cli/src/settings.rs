//! Settings from a file and from the environment: what an option is where the command line does not say.
//!
//! # Invariants
//!
//! - The command line comes before the environment, the environment before the file, and the file before the defaults.
//! - A setting is checked as the option is. One that the program does not know is refused, so that a mistake in a name
//!   is no silent default.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use crate::args::{Args, ConfigArgs};
use crate::error::{Error, name_of};
use crate::input;
use crate::output;

/// The longest file of settings, in bytes.
const LONGEST: u64 = 1 << 20;

/// Options that no file may set: they are said each time, or belong to the file itself.
const NEVER: [&str; 4] = ["help", "version", "config", "yes"];

/// Where settings come from.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    file: Table,
    /// The file, for messages.
    name: String,
}

impl Settings {
    /// Reads the file that `--config` or `DURAMEN_CONFIG` names, if there is one.
    pub(crate) fn read() -> Result<Self, Error> {
        let arguments = std::env::args_os().skip(1).collect::<Vec<_>>();
        let named =
            named(&arguments).or_else(|| std::env::var_os("DURAMEN_CONFIG").map(PathBuf::from));
        let Some(path) = named.filter(|path| !path.as_os_str().is_empty()) else {
            return Ok(Self::default());
        };
        let (name, bytes) = input::read_all(&path, LONGEST)?;
        let wrong = |why: String| Error::Usage(format!("{name} is no file of settings: {why}"));
        let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
        let file: Table =
            text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
        let settings = Self { file, name: name_of(&path) };
        let mut program = Args::command();
        program.build();
        settings.check(&program, "", &settings.file).map_err(wrong)?;
        Ok(settings)
    }

    /// Reads the command line, with settings for the options that are not on it.
    pub(crate) fn arguments(&self) -> Result<Args, clap::Error> {
        let matches = self.program().try_get_matches()?;
        Args::from_arg_matches(&matches)
    }

    /// The program with its settings as defaults.
    fn program(&self) -> Command {
        configure(Args::command(), "", Some(&self.file))
    }

    /// Refuses what the program does not have.
    fn check(&self, command: &Command, path: &str, table: &Table) -> Result<(), String> {
        for (key, value) in table {
            let place = join(path, key);
            let sub = command.get_subcommands().find(|sub| sub.get_name() == key && key != "help");
            let option = command.get_arguments().find(|arg| arg.get_long() == Some(key));
            match (sub, value, option.filter(|option| is_settable(option))) {
                (Some(sub), Value::Table(table), _) => self.check(sub, &place, table)?,
                (Some(_), _, _) => return Err(format!("{place} is a command and has settings")),
                (None, value, Some(option)) => {
                    values(option, value).map_err(|why| format!("{place}: {why}"))?;
                }
                (None, ..) => return Err(format!("{place} is no setting")),
            }
        }
        Ok(())
    }
}

/// Prints the settings in force, as a file that sets them.
pub(crate) fn print(_: &ConfigArgs, settings: &Settings) -> Result<(), Error> {
    let mut text = String::from("# Settings of duramen. Behind # stand defaults.\n");
    if !settings.file.is_empty() {
        text += &format!("# Read from {}.\n", settings.name);
    }
    let mut program = settings.program();
    program.build();
    section(&program, "", Some(&settings.file), &mut text);
    output::print(&text)
}

/// The settings of a command and of those below it.
fn section(command: &Command, path: &str, table: Option<&Table>, text: &mut String) {
    let is_own = |arg: &&Arg| is_settable(arg) && (path.is_empty() || !arg.is_global_set());
    let options: Vec<&Arg> = command.get_arguments().filter(is_own).collect();
    if !options.is_empty() && !path.is_empty() {
        *text += &format!("\n[{}]\n", path.replace(' ', "."));
    }
    for option in options {
        let Some(long) = option.get_long() else { continue };
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        let set = given(path, option, table);
        let default = option.get_default_values().first().map(|value| value.to_string_lossy());
        let default =
            default.map_or_else(String::new, |value| shown(option, &[value.into_owned()]));
        let line = match set {
            Some(values) => format!("{long} = {}", shown(option, &values)),
            None => format!("# {long} = {default}").trim_end().to_owned(),
        };
        *text += &format!("\n# {}\n{line}\n", help.replace('\n', " "));
    }
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let below = table.and_then(|table| table.get(sub.get_name())).and_then(Value::as_table);
        section(sub, &join(path, sub.get_name()), below, text);
    }
}

/// A value as TOML has it.
fn shown(option: &Arg, values: &[String]) -> String {
    let one = |value: &String| match option.get_action() {
        ArgAction::SetTrue | ArgAction::Count => value.clone(),
        _ => Value::String(value.clone()).to_string(),
    };
    match values {
        [value] if !matches!(option.get_action(), ArgAction::Append) => one(value),
        values => format!("[{}]", values.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

/// The command with its settings as defaults.
fn configure(command: Command, path: &str, table: Option<&Table>) -> Command {
    let command = command.mut_args(|option| match given(path, &option, table) {
        Some(values) => option.required(false).default_values(values),
        None => option,
    });
    let subs = command.get_subcommands().map(|sub| sub.get_name().to_owned());
    let subs: Vec<String> = subs.collect();
    subs.into_iter().fold(command, |command, name| {
        let below = table.and_then(|table| table.get(&name)).and_then(Value::as_table);
        let path = join(path, &name);
        command.mut_subcommand(name, |sub| configure(sub, &path, below))
    })
}

/// What the environment, or else the file, sets an option to.
fn given(path: &str, option: &Arg, table: Option<&Table>) -> Option<Vec<String>> {
    let long = option.get_long().filter(|_| is_settable(option))?;
    let variable = format!("duramen {path} {long}").to_uppercase();
    let variable: Vec<&str> = variable.split([' ', '-']).filter(|word| !word.is_empty()).collect();
    if let Ok(value) = std::env::var(variable.join("_")) {
        return Some(vec![value]);
    }
    values(option, table?.get(long)?).ok()
}

fn is_settable(option: &Arg) -> bool {
    option.get_long().is_some_and(|long| !NEVER.contains(&long))
}

/// A value of the file as the command line would have it.
fn values(option: &Arg, value: &Value) -> Result<Vec<String>, String> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(yes) => Ok(yes.to_string()),
        other => Err(format!("{other} is no text, no number and no truth value")),
    };
    match (value, option.get_action()) {
        (Value::Array(values), ArgAction::Append) => values.iter().map(one).collect(),
        (Value::Boolean(_), ArgAction::SetTrue) => Ok(vec![one(value)?]),
        (_, ArgAction::SetTrue) => Err("it is true or false".to_owned()),
        (Value::Boolean(_), _) => Err("it is not true or false".to_owned()),
        (value, _) => Ok(vec![one(value)?]),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path} {name}") }
}

/// The file that the command line names.
fn named(arguments: &[OsString]) -> Option<PathBuf> {
    let mut options = arguments.iter().take_while(|argument| *argument != "--");
    while let Some(option) = options.next() {
        if option == "--config" {
            return options.next().map(PathBuf::from);
        }
        if let Some(path) = option.to_str().and_then(|option| option.strip_prefix("--config=")) {
            return Some(PathBuf::from(path));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings { file: text.parse().unwrap(), name: "file".to_owned() }
    }

    #[test]
    fn a_program_with_every_option_set_is_well_formed() {
        settings("[append]\ntree = \"x\"\nentries = true\nack = false\n").program().debug_assert();
        settings("verbose = 2\nquiet = true\n[serve]\nkey = [\"a\", \"b\"]\n")
            .program()
            .debug_assert();
    }

    #[test]
    fn the_command_line_comes_before_the_file() {
        let settings = settings("[append]\ntree = \"x\"\nunique = true\nwait-lock = \"3s\"\n");
        let read = |line: &str| {
            let matches = settings.program().try_get_matches_from(line.split(' ')).unwrap();
            let args = Args::from_arg_matches(&matches).unwrap();
            let crate::args::Command::Append(args) = args.command else { panic!("{line}") };
            (args.tree.to_string(), args.unique, args.lock.wait_lock.map(|wait| wait.as_secs()))
        };
        assert_eq!(read("duramen append d"), ("x".to_owned(), true, Some(3)));
        assert_eq!(read("duramen append d --tree y"), ("y".to_owned(), true, Some(3)));
        assert_eq!(read("duramen append d --wait-lock 5s").2, Some(5));
    }
}
