//! `duramen serve`: logs over HTTP, until a signal.
//!
//! # Invariants
//!
//! - The first line of the output comes when the log can be reached, and not before.
//! - After a signal nothing new is accepted. What was acknowledged is durable, and in the last checkpoint, before the
//!   program ends with status 0.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duramen::tlog::{AnyVerifier, Policy};
use duramen::{Config, Event, FlushPolicy, ReadMode, Store, StoreReader, TreeName};
use duramen_log::http::{self, Operator, Site, Watch};
use duramen_log::{Anchor, Log, LogConfig, WitnessPolicy};

use crate::any_key::{self, OwnCosigner};
use crate::args::ServeArgs;
use crate::error::Error;
use crate::{admin, anchored, key, listen, memory, output, read_only, witness_policy};

/// Serves until a signal asks the program to end.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Error> {
    if args.key.len() != args.tree.len() {
        return Err(Error::Usage(format!(
            "each log has a key of its own: {} --key for {} --tree",
            args.key.len(),
            args.tree.len()
        )));
    }
    if !args.minimum_index.is_empty() && args.minimum_index.len() != args.tree.len() {
        return Err(Error::Usage(format!(
            "each log has a minimum index of its own: {} --minimum-index for {} --tree",
            args.minimum_index.len(),
            args.tree.len()
        )));
    }
    let of_trees = |source| Error::Log { log: "of --tree".to_owned(), source: Box::new(source) };
    Site::check_names(args.tree.iter().map(TreeName::as_str)).map_err(of_trees)?;
    if args.read_only {
        return read_only::run(args);
    }
    listen::show_messages();
    let token = args.network.token()?;
    // A mapped file on a disk that fails would kill the server.
    let config = Config::new(&args.dir).read_mode(ReadMode::Pread);
    let watch = Watch::new(&args.dir);
    let events = watch.clone();
    let watched = config.clone().listener(move |event: &Event| events.event(event));
    let watched = memory::bounded(watched, args.memory.max_memory)?;
    let store = Store::open(watched.flush_policy(FlushPolicy::Manual).status_file(true))?;
    let reader = Arc::new(StoreReader::open(config)?);
    let cosigners = cosigners(&args.cosigner_key)?;
    let policy = args.policy.as_deref().map(witness_policy::read).transpose()?;
    let logs = args.tree.iter().zip(&args.key).enumerate();
    let logs = logs.map(|(place, (tree, file))| {
        let least = args.minimum_index.get(place).copied().unwrap_or(0);
        let (cosigners, policy) = (&*cosigners, policy.as_ref());
        let wanted = Wanted { tree, file, least, cosigners, policy };
        Ok((tree.to_string(), open(args, (&store, &reader), &wanted)?))
    });
    let logs = logs.collect::<Result<Vec<_>, Error>>()?;
    if let Some(other) = cosigners.iter().find(|one| !is_of(&logs, one.signer.name())) {
        let name = other.signer.name();
        return Err(Error::Usage(format!("no log is served that {name} could cosign")));
    }

    let limits = args.network.clients.limits();
    let site = Site::watched(logs, &limits, &watch).map_err(of_trees)?;
    let handle = existing(&store, &args.tree)?;
    let operator = Operator::new(handle, Arc::clone(&site), token.as_deref());

    let operators = admin::Server::start(&args.dir, existing(&store, &args.tree)?);
    let routers = (http::public(&site), http::admin(&operator));
    // Everything is ended whatever fails.
    let (served, published) =
        listen::until_asked(&args.network, routers, &site, &limits, || site.close());
    if let Some(operators) = operators {
        operators.end();
    }
    let closed = store.close();
    served?;
    published.map_err(|(log, source)| Error::Log { log, source: Box::new(source) })?;
    closed?;
    output::tell(
        "served to the end: every acknowledged entry is durable and in the last checkpoint",
    );
    Ok(())
}

/// The keys that cosign beside those of the logs.
fn cosigners(files: &[PathBuf]) -> Result<Vec<OwnCosigner>, Error> {
    files.iter().map(|file| any_key::of_own_log(file)).collect()
}

fn is_of(logs: &[(String, Log)], origin: &str) -> bool {
    logs.iter().any(|(_, log)| log.origin() == origin)
}

/// Another handle of the store.
fn existing(store: &Store, trees: &[TreeName]) -> Result<Store, Error> {
    let first = trees.first().ok_or_else(|| Error::Usage("no tree is named".to_owned()))?;
    Ok(store.existing_tree(first)?.store())
}

/// One log, as it is asked for.
struct Wanted<'a> {
    tree: &'a TreeName,
    /// Its key.
    file: &'a Path,
    /// The smallest index that it publishes.
    least: u64,
    /// Keys of all logs that cosign.
    cosigners: &'a [OwnCosigner],
    policy: Option<&'a Policy>,
}

/// Opens one log.
fn open(
    args: &ServeArgs,
    (store, reader): (&Store, &Arc<StoreReader>),
    wanted: &Wanted<'_>,
) -> Result<Log, Error> {
    let Wanted { tree, file, .. } = *wanted;
    let signer = Arc::new(key::read(file)?);
    let origin = duramen::tlog::NoteSigner::name(&*signer).to_owned();
    let failed = |source: duramen_log::LogError| Error::Log {
        log: origin.clone(),
        source: Box::new(source),
    };
    let anchor = anchored::open(&args.anchor, file, &origin, &args.dir)?;
    let anchored = anchor.load().map_err(|error| failed(error.into()))?;
    // Without one the log says what is wrong.
    let anchor = match anchored.is_some() || args.anchor.first_anchor {
        true => anchor.exclusive().map_err(|error| failed(error.into()))?,
        false => anchor,
    };
    let receipts = (Arc::new(signer.key().clone()), key::receipt_id(&signer));
    let witnesses = wanted
        .policy
        .map(|policy| {
            witness_policy::must_list(policy, &signer.verifier())?;
            let kept = anchor.path().with_extension("checkpoint");
            let witnesses = WitnessPolicy::new(policy.clone(), kept).map_err(failed)?;
            Ok::<_, Error>(witnesses.timeout(args.witness_timeout))
        })
        .transpose()?;
    let public = AnyVerifier::Ed25519(signer.verifier());
    let config = LogConfig::new(tree.clone(), origin.clone(), signer, Box::new(anchor))
        .public_key(public)
        .receipts(receipts.0, receipts.1)
        .first_anchor(args.anchor.first_anchor)
        .adopt_store(args.anchor.adopt_store)
        .unique(!args.duplicates)
        .interval(args.checkpoint_interval)
        .minimum_index(wanted.least);
    let of_log = wanted.cosigners.iter().filter(|cosigner| cosigner.signer.name() == origin);
    let config = of_log.fold(config, |config, OwnCosigner { signer, public }| {
        config.signer(Arc::clone(signer)).public_key(public.clone())
    });
    let known = wanted.policy.into_iter().flat_map(Policy::witnesses);
    let config = known.fold(config, |config, witness| config.public_key(witness.key.clone()));
    let config = match witnesses {
        Some(witnesses) => config.witnesses(witnesses),
        None => config,
    };
    Log::open(store, Arc::clone(reader), config).map_err(failed)
}
