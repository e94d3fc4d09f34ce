//! `duramen head`.

use crate::args::HeadArgs;
use crate::error::Error;
use crate::{output, store};

/// Prints the head of the whole tree or of one of its past sizes.
pub(crate) fn run(args: &HeadArgs) -> Result<(), Error> {
    let store = store::read(&args.dir)?;
    let head = match args.size {
        Some(size) => store.head_at(size)?,
        None => store.head()?,
    };
    output::print_head(&head, args.json)
}
