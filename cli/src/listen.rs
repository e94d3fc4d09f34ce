//! Listening for everybody and for operators, until a signal. What the commands that serve have in common.
//!
//! # Invariants
//!
//! - The first line of the output comes when the address can be reached, and not before.
//! - After a signal nothing new is accepted, and requests that run come to their end.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use duramen_log::http::{self, Limits, Listener, Router, Site, Tls};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, UnixListener};

use crate::args::{ClientsArgs, NetworkArgs, TlsArgs};
use crate::error::Error;
use crate::{input, notify, output, signals};

/// Descriptors that are kept for the store, its parts and the anchors.
const RESERVED: usize = 512;
/// Far longer than any token.
const MAX_TOKEN: u64 = 4096;
/// Far longer than any chain of certificates.
const MAX_PEM: u64 = 1 << 20;

impl NetworkArgs {
    /// The token of operators, if there is one.
    pub(crate) fn token(&self) -> Result<Option<String>, Error> {
        self.admin_token.as_deref().map(token).transpose()
    }
}

impl ClientsArgs {
    /// What clients may take.
    pub(crate) fn limits(&self) -> Limits {
        Limits { connections: connections(self.connections), ..Limits::default() }
            .patience(self.client_timeout)
    }
}

impl TlsArgs {
    /// The certificate to serve with, if there is one.
    pub(crate) fn read(&self) -> Result<Option<Tls>, Error> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let (name, chain) = input::read_all(certificate, MAX_PEM)?;
        let (_, key) = input::read_all(key, MAX_PEM)?;
        let unusable = |source: http::TlsError| Error::Unreadable {
            name,
            what: "a certificate of TLS with its key",
            source: source.into(),
        };
        Tls::from_pem(&chain, &key).map(Some).map_err(unusable)
    }
}

/// Shows on standard error what is reported while the program runs, a line each.
pub(crate) fn show_messages() {
    let messages = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    let _ = messages.with_max_level(tracing_subscriber::filter::LevelFilter::INFO).try_init();
}

/// As many connections as are asked for, if there is room for them.
fn connections(asked: u64) -> usize {
    usize::try_from(asked).unwrap_or(usize::MAX).min(descriptors())
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

/// Serves everybody and operators until a signal, and then runs `end`, while requests that were cut off may still be
/// answered.
pub(crate) fn until_asked<T>(
    args: &NetworkArgs,
    (public, admin): (Router, Router),
    site: &Arc<Site>,
    limits: &Limits,
    end: impl FnOnce() -> T,
) -> (Result<(), Error>, T) {
    signals::finish_first();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return (Err(serving("start", &args.listen.to_string(), error)), end()),
    };
    let served = runtime.block_on(both(args, (public, admin), site, limits));
    let ended = end();
    runtime.shutdown_timeout(Duration::from_secs(1));
    (served, ended)
}

async fn both(
    args: &NetworkArgs,
    (public, admin): (Router, Router),
    site: &Arc<Site>,
    limits: &Limits,
) -> Result<(), Error> {
    let (address, tls) = (args.listen.to_string(), args.tls.read()?);
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|error| serving("listen on", &address, error))?;
    let bound = listener.local_addr().map_err(|error| serving("listen on", &address, error))?;
    let operators = match &args.admin {
        Some(place) => Some(admin_listener(place, args.admin_token.is_some(), tls.as_ref()).await?),
        None => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    output::print(&format!("listening on {scheme}://{bound}\n"))?;
    notify::ready();

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let by_signal = stop.clone();
    std::thread::spawn(move || {
        // An error of waiting ends the service too: without signals it could not be ended well.
        let _ = signals::wait_until_asked();
        notify::stopping();
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
    let public = serve(on(listener, tls.as_ref()), public, limits.clone());
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

/// Listens with TLS, if there is a certificate.
pub(crate) fn on(listener: TcpListener, tls: Option<&Tls>) -> Listener {
    match tls {
        Some(tls) => Listener::Tls(listener, tls.clone()),
        None => Listener::Tcp(listener),
    }
}

/// Where operators connect. On an address they need a token.
async fn admin_listener(
    place: &str,
    has_token: bool,
    tls: Option<&Tls>,
) -> Result<Listener, Error> {
    let failed = |error| serving("listen on", place, error);
    if let Some(path) = place.strip_prefix("unix:") {
        // A socket that an earlier run left refuses. Any other error is that of a socket which a program may listen on,
        // and anything else that has the name is not touched either.
        let old = std::fs::symlink_metadata(path).is_ok_and(|old| old.file_type().is_socket());
        let refuses = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
        if old && std::os::unix::net::UnixStream::connect(path).is_err_and(refuses) {
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
    Ok(on(TcpListener::bind(place).await.map_err(failed)?, tls))
}

fn token(file: &Path) -> Result<String, Error> {
    let (name, bytes) = input::read_all(file, MAX_TOKEN)?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    match text.trim() {
        token if token.len() >= 16 => Ok(token.to_owned()),
        _ => Err(Error::Usage(format!("{name}: a token has at least 16 characters"))),
    }
}

pub(crate) fn serving(action: &'static str, place: &str, source: std::io::Error) -> Error {
    Error::Serve { action, place: place.to_owned(), source }
}
