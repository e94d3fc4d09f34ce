//! Accepts connections until it is told to stop, and then lets the requests that run come to their end.
//!
//! # Invariants
//!
//! - At most [`Limits::connections`](super::Limits::connections) are open. More wait to be accepted.
//! - After the signal no connection is accepted, and no request that runs is cut off before
//!   [`Limits::drain`](super::Limits::drain) is over.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

use super::limits::Limits;
use super::site::Site;
use super::tls::Tls;

/// Bytes of requests that a connection has read ahead, and of small answers that wait to be sent.
const MOST_BUFFERED: usize = 64 << 10;

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// An address.
    Tcp(TcpListener),
    /// An address, with TLS.
    Tls(TcpListener, Tls),
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
    // HTTP/1.1 alone: a connection has one request at a time, which bounds what it costs. The timeout holds for a
    // connection that sends nothing as well.
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head).keep_alive(true);
    builder.max_buf_size(MOST_BUFFERED);
    let mut failed = None;
    let mut stop = std::pin::pin!(stop);
    loop {
        // Closed semaphores do not exist here, so the permit always comes.
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit.map_err(io::Error::other)?,
            () = &mut stop => break,
        };
        let accepted = tokio::select! {
            accepted = accept(&listener, &limits) => accepted,
            () = &mut stop => break,
        };
        let connecting = match accepted {
            Ok(connecting) => connecting,
            Err(error) if passes(&error) => {
                // Out of descriptors, for instance. Others may close some.
                tracing::warn!(%error, "a connection is not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let (builder, watcher) = (builder.clone(), graceful.watcher());
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            site.open.fetch_add(1, Ordering::Relaxed);
            let connection = async {
                let io = connecting.await?;
                watcher.watch(builder.serve_connection(io, service)).await.map_err(io::Error::other)
            };
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ends");
            }
            site.open.fetch_sub(1, Ordering::Relaxed);
            drop(permit);
        });
    }
    drop(listener);
    site.stop();
    let drained = tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_ok();
    failed.map_or(Ok(drained), Err)
}

/// A connection, whatever it runs over.
trait Connection: Read + Write + Unpin + Send {}

impl<T: Read + Write + Unpin + Send> Connection for T {}

/// A connection that is being set up, which must not keep others from being accepted.
type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>>;

/// Accepts a connection. A client that takes nothing of its answer for some time loses it, and so does one that does not
/// come to the end of its handshake.
async fn accept(listener: &Listener, limits: &Limits) -> io::Result<Connecting> {
    let (patience, handshake) = (limits.body, limits.head);
    let tcp = async |listener: &TcpListener| {
        let (stream, _) = listener.accept().await?;
        // It fails for a connection that is gone already.
        let _ = stream.set_nodelay(true);
        io::Result::Ok(stream)
    };
    Ok(match listener {
        Listener::Tcp(listener) => {
            let stream = tcp(listener).await?;
            Box::pin(async move { Ok(patient(stream, patience)) })
        }
        Listener::Tls(listener, Tls(acceptor)) => {
            let handshaking = acceptor.accept(tcp(listener).await?);
            Box::pin(async move {
                let stream = tokio::time::timeout(handshake, handshaking).await??;
                Ok(patient(stream, patience))
            })
        }
        Listener::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            Box::pin(async move { Ok(patient(stream, patience)) })
        }
    })
}

fn patient<S>(stream: S, patience: Duration) -> Box<dyn Connection>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(patience));
    Box::new(TokioIo::new(Box::pin(stream)))
}

/// Whether the listener can accept again after this error. Most are of one connection, or of the network.
fn passes(error: &io::Error) -> bool {
    // The descriptor is none, or not one of a listening socket.
    ![Some(9), Some(22), Some(88)].contains(&error.raw_os_error())
}
