//! `duramen completions` and `duramen man`: what a system installs beside the program.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::{Args, CompletionsArgs, ManArgs};
use crate::error::{Error, name_of};
use crate::output;

/// Prints a script that completes commands and options in a shell.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program(), "duramen", &mut script);
    output::write(&script, None)
}

/// Prints a page of the manual, or writes all of them.
pub(crate) fn man(args: &ManArgs) -> Result<(), Error> {
    let program = program();
    if let Some(dir) = &args.all {
        return all(&program, dir);
    }
    let mut command = &program;
    for name in &args.command {
        let found = command.get_subcommands().find(|command| command.get_name() == name);
        command = found.ok_or_else(|| Error::Usage(format!("there is no command {name:?}")))?;
    }
    output::write(&page(command)?, None)
}

/// The commands with their names as a manual has them: `duramen-verify-inclusion`.
fn program() -> Command {
    let mut program = Args::command().disable_help_subcommand(true);
    program.build();
    program
}

fn page(command: &Command) -> Result<Vec<u8>, Error> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page).map_err(output::cannot_print)?;
    Ok(page)
}

fn all(program: &Command, dir: &Path) -> Result<(), Error> {
    let cannot = |source: io::Error| Error::Write { name: name_of(dir), source };
    fs::create_dir_all(dir).map_err(cannot)?;
    let mut commands = vec![program];
    while let Some(command) = commands.pop() {
        let name = command.get_display_name().unwrap_or(command.get_name());
        output::write(&page(command)?, Some(&dir.join(format!("{name}.1"))))?;
        commands.extend(command.get_subcommands().filter(|sub| sub.get_name() != "help"));
    }
    Ok(())
}
