//! `duramen witness`: cosigns checkpoints over HTTP, until a signal.

use std::path::Path;
use std::sync::Arc;

use duramen::{Config, FlushPolicy, ReadMode, Store};
use duramen_log::http::{self, Cosigning, Operator, Site};
use duramen_log::{DirectoryAnchor, KnownLogs, Witness, WitnessConfig, WitnessError};

use crate::args::{AnchorArgs, WitnessArgs};
use crate::error::Error;
use crate::{anchored, any_key, input, listen, memory, output};

/// Far longer than a list of a hundred thousand logs.
const MAX_LOGS: u64 = 256 << 20;

/// Serves until a signal asks the program to end.
pub(crate) fn run(args: &WitnessArgs) -> Result<(), Error> {
    listen::show_messages();
    let token = args.network.token()?;
    let none = || Error::Usage("a witness has a key".to_owned());
    let (file, others) = args.key.split_first().ok_or_else(none)?;
    let first = any_key::cosigner(file)?;
    let name = first.key_name().to_owned();
    let config = WitnessConfig::new(logs(args)?, first).history(args.history);
    let mut keys = others.iter().map(|file| any_key::cosigner(file));
    let config = keys.try_fold(config, |config, key| Ok::<_, Error>(config.key(key?)))?;
    // A mapped file on a disk that fails would kill the witness.
    let store = Config::new(&args.dir).read_mode(ReadMode::Pread);
    let store = memory::bounded(store, args.memory.max_memory)?.create(args.new);
    let store = store.flush_policy(FlushPolicy::Manual).status_file(true);
    let store = Store::open(store).map_err(|error| match error {
        duramen::Error::NoStore { .. } => failed(WitnessError::NewStore { name: name.clone() }),
        error => error.into(),
    })?;
    // Only now it can be seen that the anchor is outside the store.
    let anchor = Arc::new(anchor(args, file, &name)?);
    let config = config.anchor(anchor).first_anchor(args.first_anchor).new_store(args.new);
    let witness = Witness::open(&store, config).map_err(failed)?;

    let limits = args.network.clients.limits();
    let site = Site::new(Vec::new(), &limits);
    let site =
        site.map_err(|source| Error::Log { log: String::new(), source: Box::new(source) })?;
    let cosigning = Cosigning::new(Arc::clone(&witness), limits.clone());
    let operator = Operator::of_witness(
        witness.store(),
        Arc::clone(&site),
        Arc::clone(&cosigning),
        token.as_deref(),
    );
    let (listed, seen) = witness.logs();
    tracing::info!("logs that are listed: {listed}, that were cosigned before: {seen}");
    let routers = (http::witness(&cosigning), http::admin(&operator));
    let (served, closed) =
        listen::until_asked(&args.network, routers, &site, &limits, || store.close());
    served?;
    closed?;
    output::tell("served to the end: every checkpoint that was cosigned is durable");
    Ok(())
}

/// The anchor of the witness whose first key is in `file`. No other process of this machine has it meanwhile.
fn anchor(args: &WitnessArgs, file: &Path, name: &str) -> Result<DirectoryAnchor, Error> {
    // A directory that is missing is made. Whether the anchor may be missing follows from the store.
    let place = AnchorArgs { anchor: args.anchor.clone(), first_anchor: true, adopt_store: false };
    // A log with this name may have an anchor in the same directory.
    let anchor = anchored::open(&place, file, &format!("witness {name}"), &args.dir)?;
    anchor.exclusive().map_err(|error| failed(error.into()))
}

fn logs(args: &WitnessArgs) -> Result<KnownLogs, Error> {
    let (name, bytes) = input::read_all(&args.logs, MAX_LOGS)?;
    let unreadable = |source| Error::Unreadable { name, what: "a list of logs", source };
    match str::from_utf8(&bytes) {
        Ok(text) => KnownLogs::read(text).map_err(|error| unreadable(error.into())),
        Err(error) => Err(unreadable(error.into())),
    }
}

fn failed(error: WitnessError) -> Error {
    match error {
        WitnessError::Store(error) => error.into(),
        error => Error::Witness(Box::new(error)),
    }
}
