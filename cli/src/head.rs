//! `duramen head`.

use duramen::{Config, StoreReader};

use crate::args::{HeadArgs, HeadFormat};
use crate::error::Error;
use crate::{anchored, key, marks, output};

/// Prints the head of the whole tree or of one of its past sizes.
pub(crate) fn run(args: &HeadArgs) -> Result<(), Error> {
    let checkpoint = args.format == HeadFormat::Checkpoint;
    let wrong = if !checkpoint && (args.origin.is_some() || args.key.is_some()) {
        "--origin and --key belong to --format checkpoint"
    } else if args.key.is_none() && args.anchor.is_given() {
        "--anchor, --first-anchor and --adopt-store belong to --key"
    } else if args.all && checkpoint {
        "--all does not go with --format checkpoint"
    } else {
        return print(args, checkpoint);
    };
    Err(Error::Usage(wrong.into()))
}

fn print(args: &HeadArgs, checkpoint: bool) -> Result<(), Error> {
    // The key first: if it cannot be read, no store is opened.
    let signer = args.key.as_deref().map(key::read).transpose()?;
    let reader = StoreReader::open(Config::new(&args.dir))?;
    if args.all {
        let head = match &args.mark {
            Some(mark) => reader.head_at(mark)?,
            None => reader.head()?,
        };
        return output::print_store(&head, args.json || args.format == HeadFormat::Json);
    }
    let size = marks::size(&reader, &args.tree, args.mark.as_ref(), args.size)?;
    let store = reader.tree(&args.tree)?;
    if !checkpoint {
        let head = match size {
            Some(size) => store.head_at(size)?,
            None => store.head()?,
        };
        return output::print_head(&head, args.json || args.format == HeadFormat::Json);
    }
    key::must_be_rfc6962("a checkpoint", &store)?;
    match (signer, &args.key) {
        (Some(signer), Some(file)) => {
            let origin = anchored::origin(args.origin.as_deref(), &signer);
            let place = (&reader, &*args.dir, &args.tree);
            let head = anchored::head(&args.anchor, (file, origin), place, size)?;
            let checkpoint = key::checkpoint(&store, head, origin)?;
            output::print(&key::sign(&checkpoint, &signer)?.to_string())
        }
        // What is printed to be signed elsewhere has only durable leaves as well.
        _ => {
            let origin = args.origin.as_deref().ok_or_else(|| {
                let message = "a checkpoint needs the name of its log: --origin NAME or --key FILE";
                Error::Usage(message.into())
            })?;
            let head = key::durable_head(&store, size)?;
            output::print(&key::checkpoint(&store, head, origin)?.to_string())
        }
    }
}
