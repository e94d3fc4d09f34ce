//! Accepts connections until it is told to stop, and then lets the requests that run come to their end.
//!
//! # Invariants
//!
//! - At most [`Limits::connections`](super::Limits::connections) are open. More wait to be accepted.
//! - After the signal no connection is accepted, and no request that runs is cut off before
//!   [`Limits::drain`](super::Limits::drain) is over.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::limits::Limits;
use super::site::Site;

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// An address.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

/// Serves `router` to everyone who connects, until `stop` is ready. Returns once the requests that run have ended, or
/// their time is over. Returns whether all of them ended.
///
/// # Errors
///
/// An error of the listener that does not pass.
pub async fn serve(
    listener: Listener,
    router: Router,
    site: Arc<Site>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> io::Result<bool> {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head).keep_alive(true);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(limits.head);
    let mut stop = std::pin::pin!(stop);
    loop {
        // Closed semaphores do not exist here, so the permit always comes.
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit.map_err(io::Error::other)?,
            () = &mut stop => break,
        };
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = &mut stop => break,
        };
        let io = match accepted {
            Ok(io) => io,
            Err(error) if passes(&error) => {
                // Out of descriptors, for instance. Others may close some.
                tracing::warn!(%error, "a connection is not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection_with_upgrades(io, service).into_owned();
        let connection = graceful.watch(connection);
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            site.open.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ends");
            }
            site.open.fetch_sub(1, Ordering::Relaxed);
            drop(permit);
        });
    }
    drop(listener);
    site.stop();
    Ok(tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_ok())
}

/// A connection, whatever it runs over.
trait Connection: Read + Write + Unpin + Send {}

impl<T: Read + Write + Unpin + Send> Connection for T {}

async fn accept(listener: &Listener) -> io::Result<Box<dyn Connection>> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(TokioIo::new(stream)))
        }
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            Ok(Box::new(TokioIo::new(stream)))
        }
    }
}

/// Whether the listener can accept again after this error.
fn passes(error: &io::Error) -> bool {
    // The limit of descriptors of the process, and of the system.
    let descriptors = [Some(24), Some(23)];
    descriptors.contains(&error.raw_os_error())
        || matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
                | io::ErrorKind::OutOfMemory
        )
}
