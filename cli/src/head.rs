//! `duramen head`.

use duramen::{Config, StoreReader};

use crate::args::{HeadArgs, HeadFormat};
use crate::error::Error;
use crate::{key, output, store};

/// Prints the head of the whole tree or of one of its past sizes.
pub(crate) fn run(args: &HeadArgs) -> Result<(), Error> {
    let checkpoint = args.format == HeadFormat::Checkpoint;
    if !checkpoint && (args.origin.is_some() || args.key.is_some()) {
        return Err(Error::Usage("--origin and --key belong to --format checkpoint".into()));
    }
    if args.all {
        if checkpoint {
            return Err(Error::Usage("--all does not go with --format checkpoint".into()));
        }
        let head = StoreReader::open(Config::new(&args.dir))?.head()?;
        return output::print_store(&head, args.json || args.format == HeadFormat::Json);
    }
    // The key first: if it cannot be read, no store is opened.
    let signer = args.key.as_deref().map(key::read).transpose()?;
    let store = store::read(&args.dir, &args.tree)?;
    if !checkpoint {
        let head = match args.size {
            Some(size) => store.head_at(size)?,
            None => store.head()?,
        };
        return output::print_head(&head, args.json || args.format == HeadFormat::Json);
    }
    key::must_be_rfc6962("a checkpoint", &store)?;
    // What is printed to be signed elsewhere is held to the same as what is signed here.
    let head = key::durable_head(&store, args.size)?;
    let checkpoint = key::checkpoint(&store, head, args.origin.as_deref(), signer.as_ref())?;
    match signer {
        Some(signer) => output::print(&key::sign(&checkpoint, &signer)?.to_string()),
        None => output::print(&checkpoint.to_string()),
    }
}
