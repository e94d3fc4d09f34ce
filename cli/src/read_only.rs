//! `duramen serve --read-only`: logs of a store that this process does not write, until a signal.
//!
//! # Invariants
//!
//! - Nothing is written: neither the store nor an anchor.
//! - A checkpoint that is shown was signed before, or its head is the one in the anchor. The store has its tree.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use duramen::tlog::{Checkpoint, Ed25519Signer, NoteSigner, SignedNote};
use duramen::{Config, ReadMode, Snapshot, StoreReader, TreeName};
use duramen_log::http::{self, Router, Shown, Site};
use duramen_log::{HeadRequest, LogError};

use crate::args::ServeArgs;
use crate::error::Error;
use crate::{anchored, input, key, listen, output};

/// Far longer than any checkpoint.
const MAX_CHECKPOINT: u64 = 1 << 20;
/// How often the first checkpoint is looked for. While another process writes, the anchor may be newer than what was read.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// A log, and where its checkpoints come from.
struct Source {
    tree: TreeName,
    signer: Ed25519Signer,
    key: PathBuf,
    /// A file with the checkpoint to show.
    checkpoint: Option<PathBuf>,
    shown: Arc<Shown>,
}

/// Serves until a signal asks the program to end.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Error> {
    if !args.checkpoint.is_empty() && args.checkpoint.len() != args.tree.len() {
        return Err(Error::Usage(format!(
            "each log has a checkpoint of its own: {} --checkpoint for {} --tree",
            args.checkpoint.len(),
            args.tree.len()
        )));
    }
    listen::show_messages();
    // A mapped file on a disk that fails would kill the server.
    let config = Config::new(&args.dir).create(false).read_mode(ReadMode::Pread);
    let reader = StoreReader::open(config)?;
    let limits = args.network.clients.limits();
    let sources = args.tree.iter().zip(&args.key).enumerate().map(|(place, (tree, file))| {
        let checkpoint = args.checkpoint.get(place).cloned();
        let (shown, signer) = (Arc::new(Shown::new(&limits)), key::read(file)?);
        Ok(Source { tree: tree.clone(), signer, key: file.clone(), checkpoint, shown })
    });
    let sources: Vec<Source> = sources.collect::<Result<_, Error>>()?;
    for source in &sources {
        let mut shown = source.show(args, &reader);
        for _ in 0..TRIES {
            if !shown.as_ref().is_err_and(may_pass) {
                break;
            }
            std::thread::sleep(PAUSE);
            reader.refresh()?;
            shown = source.show(args, &reader);
        }
        shown?;
    }
    let logs = sources.iter().map(|source| (source.tree.to_string(), Arc::clone(&source.shown)));
    let router = http::read_only(&logs.collect::<Vec<_>>());
    let site = Site::new(Vec::new(), &limits);
    let site =
        site.map_err(|source| Error::Log { log: String::new(), source: Box::new(source) })?;
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| follow(args, &reader, &sources, &ends));
        let end = || ends.store(true, Ordering::Relaxed);
        let routers = (router, Router::new());
        let (served, ()) = listen::until_asked(&args.network, routers, &site, &limits, end);
        served
    })?;
    output::tell("served to the end");
    Ok(())
}

/// Whether another look may be better: another process writes meanwhile.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Log { source, .. } if matches!(**source, LogError::RolledBack { .. }))
}

/// Looks for newer checkpoints.
fn follow(args: &ServeArgs, reader: &StoreReader, sources: &[Source], ends: &AtomicBool) {
    let mut told = vec![String::new(); sources.len()];
    let mut failures = vec![0_usize; sources.len()];
    while !ends.load(Ordering::Relaxed) {
        std::thread::sleep(args.checkpoint_interval.clamp(PAUSE / 10, PAUSE * 10));
        let refreshed = reader.refresh().map(drop).map_err(Error::from);
        for (place, source) in sources.iter().enumerate() {
            let shown = match &refreshed {
                Ok(()) => source.show(args, reader),
                Err(error) => Err(Error::Usage(error.in_one_line())),
            };
            let text = shown.err().map_or_else(String::new, |error| error.in_one_line());
            failures[place] = if text.is_empty() { 0 } else { failures[place] + 1 };
            // What fails once may be between two states of another process.
            let lasts = failures[place] >= TRIES;
            source.shown.set_trouble(lasts.then(|| "the checkpoint cannot be renewed".to_owned()));
            if lasts && text != told[place] {
                tracing::warn!(log = %source.signer.name(), "no newer checkpoint: {text}");
                told[place] = text;
            }
        }
    }
}

impl Source {
    /// Shows the newest checkpoint.
    fn show(&self, args: &ServeArgs, reader: &StoreReader) -> Result<(), Error> {
        let (note, snapshot) = match &self.checkpoint {
            Some(file) => self.of_file(file, reader)?,
            None => self.of_anchor(args, reader)?,
        };
        let cannot = |source: duramen::tlog::TlogError| Error::Make {
            what: "a checkpoint that is shown",
            source: source.into(),
        };
        self.shown.show(&note, snapshot).map_err(cannot)
    }

    /// The checkpoint that was published last, where it is kept beside the anchor; else the head in the anchor, signed again.
    fn of_anchor(
        &self,
        args: &ServeArgs,
        reader: &StoreReader,
    ) -> Result<(SignedNote, Snapshot), Error> {
        let origin = self.signer.name();
        let anchor = anchored::open(&args.anchor, &self.key, origin, &args.dir)?;
        // With witnesses the head in the anchor may not have been published.
        let kept = anchor.path().with_extension("checkpoint");
        if kept.exists() {
            return self.of_file(&kept, reader);
        }
        let failed = |source| self.failed(source);
        let request = HeadRequest::new(origin).advance(false);
        let head = request.pass(reader, &self.tree, Box::new(anchor)).map_err(failed)?;
        let read = reader.tree(&self.tree)?;
        let checkpoint = Checkpoint::new(origin, read.hasher().id(), read.arity(), head);
        let sign = |checkpoint: Checkpoint| SignedNote::sign(&checkpoint.to_string(), &self.signer);
        let note = checkpoint.and_then(sign).map_err(|error| failed(error.into()))?;
        Ok((note, read))
    }

    /// The checkpoint in a file, which the key signed and the store has.
    fn of_file(&self, file: &Path, reader: &StoreReader) -> Result<(SignedNote, Snapshot), Error> {
        let (name, bytes) = input::read_all(file, MAX_CHECKPOINT)?;
        let unreadable = |source: duramen::tlog::TlogError| Error::Unreadable {
            name: name.clone(),
            what: "a checkpoint that the key signed",
            source: source.into(),
        };
        let note: SignedNote = String::from_utf8_lossy(&bytes).parse().map_err(unreadable)?;
        let verifier = self.signer.verifier();
        let verified = note.verify_checkpoint(&[&verifier], self.signer.name());
        let (head, read) = (verified.map_err(unreadable)?.head(), reader.tree(&self.tree)?);
        if head.size > read.size() || read.head_at(head.size)?.root != head.root {
            let size = head.size;
            let message = format!(
                "the store does not have the tree of the checkpoint in {name}, of size {size}: its tree {} has {} leaves",
                self.tree,
                read.size()
            );
            return Err(Error::Usage(message));
        }
        Ok((note, read))
    }

    fn failed(&self, source: LogError) -> Error {
        Error::Log { log: self.signer.name().to_owned(), source: Box::new(source) }
    }
}
