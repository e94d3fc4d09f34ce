//! The arguments that every command has: what it says on standard error.

use clap::{ArgAction, ValueEnum};

/// What is said on standard error.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct MessageArgs {
    /// Say more on standard error: checkpoints and merges; twice: all that is known.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,

    /// Say nothing on standard error but the error that ends the command.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// How messages are written on standard error.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line of text each.
    Text,
    /// A line of JSON each.
    Json,
}

/// What shows how far a command is.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ProgressArgs {
    /// How to show on standard error how far the command is.
    #[arg(long, value_enum, default_value_t = ProgressKind::Auto)]
    pub(crate) progress: ProgressKind,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// A bar, if standard error is a terminal.
    Auto,
    /// A line every 10 seconds and one at the end.
    Plain,
    /// Not at all.
    Never,
}
