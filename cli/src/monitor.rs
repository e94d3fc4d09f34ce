//! `duramen monitor`: verifies everything that a log publishes, and keeps nothing of it.

use duramen_log::follow::Counter;

use crate::args::MonitorArgs;
use crate::error::Error;
use crate::{follow, signals};

/// Follows a log until a signal, or looks at it once.
pub(crate) fn run(args: &MonitorArgs) -> Result<(), Error> {
    let (args, minimum) = (&args.follow, args.minimum_index);
    let (source, state) = (follow::source(args)?, follow::state(args)?);
    let mut counter = Counter::new(state.verified(), follow::is_asked);
    let followed = follow::follow(args, (&source, minimum), state, &mut counter, |_, _| Ok(()));
    signals::nothing_to_finish();
    followed
}
