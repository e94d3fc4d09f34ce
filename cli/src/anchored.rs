//! Heads that this program signs: through the anchor of their log, as a served log signs them.

use std::path::Path;

use duramen::tlog::NoteSigner;
use duramen::{StoreReader, TreeHead, TreeName, TreeSize};
use duramen_log::{
    Anchor, AnchorError, DirectoryAnchor, HeadRequest, LogError, anchor_must_be_outside,
};

use crate::args::AnchorArgs;
use crate::error::Error;
use crate::key;

/// The anchor of the log `origin`, whose key is in `file`.
pub(crate) fn open(
    args: &AnchorArgs,
    file: &Path,
    origin: &str,
    store: &Path,
) -> Result<DirectoryAnchor, Error> {
    if args.anchor.is_none() && file.as_os_str() == "-" {
        let message = "the anchor is beside the key, and the key is read from standard input: give --anchor DIR";
        return Err(Error::Usage(message.to_owned()));
    }
    let beside = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = args.anchor.as_deref().or(beside).unwrap_or(Path::new("."));
    let failed = |source: LogError| failed(origin, source);
    let anchor = match args.first_anchor {
        true => DirectoryAnchor::new(dir, origin).map_err(|error| failed(error.into()))?,
        // A directory that is missing is not made, and has no anchor.
        false => DirectoryAnchor::existing(dir, origin),
    };
    if dir.exists() {
        anchor_must_be_outside(dir, store).map_err(failed)?;
    }
    Ok(anchor)
}

/// The head that `signer` may sign: of `size` leaves, or of all that are known to be durable.
pub(crate) fn head(
    args: &AnchorArgs,
    (file, origin): (&Path, &str),
    (reader, store, tree): (&StoreReader, &Path, &TreeName),
    size: Option<u64>,
) -> Result<TreeHead, Error> {
    let failed = |source: LogError| failed(origin, source);
    let read = reader.tree(tree)?;
    key::must_be_rfc6962("a checkpoint", &read)?;
    if let Some(size) = size {
        key::durable_head(&read, Some(size))?;
    }
    let anchor = open(args, file, origin, store)?;
    if !args.first_anchor && anchor.load().map_err(|error| failed(error.into()))?.is_none() {
        let size = read.size().get();
        return Err(failed(LogError::NoAnchor { origin: origin.to_owned(), size }));
    }
    // Beside a process that signs, what that has anchored is signed and no more: to replace its anchor would stop it.
    let (anchor, advance) = match anchor.exclusive() {
        Ok(anchor) => (anchor, true),
        Err(AnchorError::InUse { .. }) if !args.first_anchor && !args.adopt_store => {
            (open(args, file, origin, store)?, false)
        }
        Err(error) => return Err(failed(error.into())),
    };
    let request = HeadRequest::new(origin)
        .first_anchor(args.first_anchor)
        .adopt_store(args.adopt_store)
        .advance(advance);
    let request = match size {
        Some(size) => request.size(TreeSize(size)),
        None => request,
    };
    request.pass(reader, tree, Box::new(anchor)).map_err(failed)
}

/// The name of the log whose checkpoints `key` signs.
pub(crate) fn origin<'a>(asked: Option<&'a str>, key: &'a dyn NoteSigner) -> &'a str {
    asked.unwrap_or_else(|| key.name())
}

fn failed(log: &str, source: LogError) -> Error {
    Error::Log { log: log.to_owned(), source: Box::new(source) }
}
