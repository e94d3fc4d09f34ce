//! `duramen serve`: logs over HTTP, until a signal.
//!
//! # Invariants
//!
//! - The first line of the output comes when the log can be reached, and not before.
//! - After a signal nothing new is accepted. What was acknowledged is durable, and in the last checkpoint, before the
//!   program ends with status 0.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use duramen::{Config, FlushPolicy, ReadMode, Store, StoreReader, TreeName};
use duramen_log::http::{self, Limits, Listener, Operator, Site};
use duramen_log::{Anchor, Log, LogConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, UnixListener};

use crate::args::ServeArgs;
use crate::error::Error;
use crate::{anchored, input, key, output, signals};

/// Descriptors that are kept for the store, its parts and the anchors.
const RESERVED: usize = 512;
/// Far longer than any token.
const MAX_TOKEN: u64 = 4096;

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
    // What the log reports while it runs goes to standard error, a line each.
    let messages = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    let _ = messages.with_max_level(tracing_subscriber::filter::LevelFilter::INFO).try_init();
    let token = args.admin_token.as_deref().map(token).transpose()?;
    // A mapped file on a disk that fails would kill the server.
    let config = Config::new(&args.dir).read_mode(ReadMode::Pread);
    let store = Store::open(config.clone().flush_policy(FlushPolicy::Manual))?;
    let reader = Arc::new(StoreReader::open(config)?);
    let logs = args.tree.iter().zip(&args.key).enumerate();
    let logs = logs.map(|(place, (tree, key))| {
        let least = args.minimum_index.get(place).copied().unwrap_or(0);
        Ok((tree.to_string(), open(args, (&store, &reader), (tree, least), key)?))
    });
    let logs = logs.collect::<Result<Vec<_>, Error>>()?;

    let connections = usize::try_from(args.connections).unwrap_or(usize::MAX);
    let limits = Limits { connections: connections.min(descriptors()), ..Limits::default() };
    let site = Site::new(logs, &limits);
    let site = site
        .map_err(|source| Error::Log { log: "of --tree".to_owned(), source: Box::new(source) })?;
    let handle = existing(&store, &args.tree)?;
    let operator = Operator::new(handle, Arc::clone(&site), token.as_deref());

    signals::finish_first();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| serving("start", &args.listen.to_string(), error))?;
    let served = runtime.block_on(both(args, &site, &operator, &limits));
    // Everything is ended whatever fails.
    let published = site.close();
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    let closed = store.close();
    served?;
    published.map_err(|(log, source)| Error::Log { log, source: Box::new(source) })?;
    closed?;
    output::tell(
        "served to the end: every acknowledged entry is durable and in the last checkpoint",
    );
    Ok(())
}

/// How many connections the limit of open files leaves room for, which is raised as far as it may be. The store must
/// always get a descriptor: without one for its log it would stop.
fn descriptors() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        let raised = Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    let most = limit.current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    most.saturating_sub(RESERVED).max(16)
}

/// Another handle of the store.
fn existing(store: &Store, trees: &[TreeName]) -> Result<Store, Error> {
    let first = trees.first().ok_or_else(|| Error::Usage("no tree is named".to_owned()))?;
    Ok(store.existing_tree(first)?.store())
}

/// Opens one log.
fn open(
    args: &ServeArgs,
    (store, reader): (&Store, &Arc<StoreReader>),
    (tree, least): (&TreeName, u64),
    file: &Path,
) -> Result<Log, Error> {
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
    let config = LogConfig::new(tree.clone(), origin.clone(), signer, Box::new(anchor))
        .receipts(receipts.0, receipts.1)
        .first_anchor(args.anchor.first_anchor)
        .adopt_store(args.anchor.adopt_store)
        .unique(!args.duplicates)
        .interval(args.checkpoint_interval)
        .minimum_index(least);
    Log::open(store, Arc::clone(reader), config).map_err(failed)
}

/// Serves everybody, and operators if that is asked for.
async fn both(
    args: &ServeArgs,
    site: &Arc<Site>,
    operator: &Arc<Operator>,
    limits: &Limits,
) -> Result<(), Error> {
    let address = args.listen.to_string();
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|error| serving("listen on", &address, error))?;
    let bound = listener.local_addr().map_err(|error| serving("listen on", &address, error))?;
    let operators = match &args.admin {
        Some(place) => Some(admin_listener(place, args.admin_token.is_some()).await?),
        None => None,
    };
    let (public, admin) = (http::public(site), http::admin(operator));
    output::print(&format!("listening on http://{bound}\n"))?;

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let by_signal = stop.clone();
    std::thread::spawn(move || {
        // An error of waiting ends the service too: without signals it could not be ended well.
        let _ = signals::wait_until_asked();
        by_signal.send_replace(true);
    });
    let serve = |listener, router, limits| {
        let (mut stopped, stop) = (stopped.clone(), stop.clone());
        let until = async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        let served = http::serve(listener, router, Arc::clone(site), limits, until);
        async move {
            let served = served.await;
            // Where one listener has ended, the other one does as well.
            stop.send_replace(true);
            served
        }
    };
    let public = serve(Listener::Tcp(listener), public, limits.clone());
    let drained = match operators {
        None => public.await,
        Some(operators) => {
            let limits = Limits { connections: 100, ..limits.clone() };
            let (public, admin) = tokio::join!(public, serve(operators, admin, limits));
            public.and_then(|public| Ok(public && admin?))
        }
    };
    if !drained.map_err(|error| serving("serve", &address, error))? {
        output::tell("some requests did not come to their end in time and were cut off");
    }
    Ok(())
}

/// Where operators connect. On an address they need a token.
async fn admin_listener(place: &str, has_token: bool) -> Result<Listener, Error> {
    let failed = |error| serving("listen on", place, error);
    if let Some(path) = place.strip_prefix("unix:") {
        // A socket that an earlier run left. Anything else is not touched.
        let old = std::fs::symlink_metadata(path).is_ok_and(|old| old.file_type().is_socket());
        if old && std::os::unix::net::UnixStream::connect(path).is_err() {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        return Ok(Listener::Unix(listener));
    }
    if !has_token {
        let message = "--admin on an address needs --admin-token; without one use unix:PATH";
        return Err(Error::Usage(message.to_owned()));
    }
    Ok(Listener::Tcp(TcpListener::bind(place).await.map_err(failed)?))
}

fn token(file: &Path) -> Result<String, Error> {
    let (name, bytes) = input::read_all(file, MAX_TOKEN)?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    match text.trim() {
        token if token.len() >= 16 => Ok(token.to_owned()),
        _ => Err(Error::Usage(format!("{name}: a token has at least 16 characters"))),
    }
}

fn serving(action: &'static str, place: &str, source: std::io::Error) -> Error {
    Error::Serve { action, place: place.to_owned(), source }
}
