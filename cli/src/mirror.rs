//! `duramen mirror`: a verified copy of a log in a store, which is served if that is asked for.
//!
//! # Invariants
//!
//! - The copy shows a checkpoint only when all its entries are durable.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use duramen::tlog::{Checkpoint, SignedNote};
use duramen::{Config, ReadMode, Store};
use duramen_log::follow::{FollowState, Mirror, MirrorError};
use duramen_log::http::{self, Limits, Shown, Site};
use tokio::sync::watch;

use crate::args::MirrorArgs;
use crate::error::Error;
use crate::{follow, listen, memory, output};

/// Follows a log until a signal, or looks at it once.
pub(crate) fn run(args: &MirrorArgs) -> Result<(), Error> {
    if !args.follow.once {
        listen::show_messages();
    }
    let source = follow::source(&args.follow)?;
    let state = follow::state(&args.follow)?;
    // A mapped file on a disk that fails would kill the server.
    let config = Config::new(&args.dir).read_mode(ReadMode::Pread);
    let config = memory::bounded(config, args.memory.max_memory)?;
    let store = Store::open(config.status_file(true))?;
    let mut mirror = Mirror::open(&store, &args.tree, follow::is_asked).map_err(of)?;
    let limits = args.clients.limits();
    let shown = Arc::new(Shown::new(&limits));
    let old = std::fs::read_to_string(state.checkpoint_file()).ok();
    if let Some(old) = old.and_then(|text| text.parse::<SignedNote>().ok()) {
        show(&shown, &old, &mirror)?;
    }
    let server = args.listen.map(|address| serve(args, address, limits, &shown)).transpose()?;
    let each = |state: &FollowState, mirror: &Mirror| match state.accepted() {
        Some(note) => show(&shown, note, mirror),
        None => Ok(()),
    };
    let followed = follow::follow(&args.follow, (&source, 0), state, &mut mirror, each);
    let served = server.map_or(Ok(()), Server::end);
    let closed = store.close();
    followed?;
    served?;
    Ok(closed?)
}

/// Shows a checkpoint, if the copy has all of it.
fn show(shown: &Shown, note: &SignedNote, mirror: &Mirror) -> Result<(), Error> {
    let cannot = |source: duramen::tlog::TlogError| Error::Make {
        what: "a checkpoint of the copy",
        source: source.into(),
    };
    let checkpoint: Checkpoint = note.unverified_text().parse().map_err(cannot)?;
    let (head, snapshot) = (checkpoint.head(), mirror.snapshot());
    if head.size > snapshot.durable_size() || snapshot.head_at(head.size)?.root != head.root {
        return Ok(());
    }
    shown.show(note, snapshot).map_err(cannot)
}

/// Serves the copy on a thread of its own.
struct Server {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Server {
    fn end(self) -> Result<(), Error> {
        self.stop.send_replace(true);
        let panicked = |_| Error::Usage("the thread that serves has panicked".to_owned());
        self.thread.join().map_err(panicked)?
    }
}

fn serve(
    args: &MirrorArgs,
    address: SocketAddr,
    limits: Limits,
    shown: &Arc<Shown>,
) -> Result<Server, Error> {
    let tls = args.tls.read()?;
    let failed = move |action| move |error| listen::serving(action, &address.to_string(), error);
    let listener = std::net::TcpListener::bind(address).map_err(failed("listen on"))?;
    listener.set_nonblocking(true).map_err(failed("listen on"))?;
    let bound = listener.local_addr().map_err(failed("listen on"))?;
    let site = Site::new(Vec::new(), &limits);
    let site =
        site.map_err(|source| Error::Log { log: String::new(), source: Box::new(source) })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(failed("start"))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (router, (stop, mut stopped)) = (http::mirror(shown), watch::channel(false));
    let thread = std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener);
            let listener = listen::on(listener.map_err(failed("listen on"))?, tls.as_ref());
            let until = async {
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            let served = http::serve(listener, router, site, limits, until).await;
            served.map(drop).map_err(failed("serve"))
        })
    });
    output::print(&format!("listening on {scheme}://{bound}\n"))?;
    Ok(Server { stop, thread })
}

fn of(error: MirrorError) -> Error {
    match error {
        MirrorError::Store(error) => error.into(),
        error => Error::Usage(error.to_string()),
    }
}
