//! Where the resources of a log come from: over HTTP, with limits.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use duramen::tlog::SignedNote;
use duramen::tlog::tiles::{LogPath, MAX_ENTRY, TILE_WIDTH};

use crate::client::{self, Client, FetchError};

/// Delivers the resources of a log. What it delivers is not trusted.
pub trait Source: Sync + fmt::Debug {
    /// The bytes of a resource.
    ///
    /// # Errors
    ///
    /// [`SourceError::Missing`] if there is no such resource, [`SourceError::TooLong`] if it is longer than any can be,
    /// [`SourceError::Failed`] if it cannot be had at the moment.
    fn fetch(&self, path: LogPath) -> Result<Vec<u8>, SourceError>;
}

/// Why a resource was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no such resource.
    #[error("{path} is missing: the answer is {status}")]
    Missing {
        /// Its path below the prefix of the log.
        path: String,
        /// The HTTP status: 404 or 410.
        status: u16,
    },
    /// It was not delivered.
    #[error("{path} cannot be fetched: {reason}")]
    Failed {
        /// Its path below the prefix of the log.
        path: String,
        /// What happened.
        reason: String,
    },
    /// It is longer than any such resource is.
    #[error("{path} cannot be fetched: it is longer than {most} bytes")]
    TooLong {
        /// Its path below the prefix of the log.
        path: String,
        /// The limit.
        most: usize,
    },
}

/// A log that is served over HTTP.
#[derive(Debug)]
pub struct HttpSource {
    client: Client,
    prefix: String,
    timeout: Duration,
}

/// How long to wait before a resource is asked for again that was not delivered, at first.
const PAUSE: Duration = Duration::from_millis(200);

impl HttpSource {
    /// The log with this URL prefix. Each resource must come within `timeout`, and is asked for again until then. `None` if
    /// the prefix is no URL of http or https.
    #[must_use]
    pub fn new(url: &str, timeout: Duration, connections: usize) -> Option<Self> {
        Some(Self { client: Client::new(connections), prefix: client::prefix(url)?, timeout })
    }
}

/// The longest resource of this path.
fn most(path: LogPath) -> usize {
    let width = usize::try_from(TILE_WIDTH).unwrap_or(256);
    match path {
        LogPath::Tile(_) => width * 32,
        LogPath::Entries(_) => width * (2 + MAX_ENTRY),
        _ => SignedNote::MAX_BYTES,
    }
}

impl Source for HttpSource {
    fn fetch(&self, path: LogPath) -> Result<Vec<u8>, SourceError> {
        let (url, until) = (format!("{}/{path}", self.prefix), Instant::now() + self.timeout);
        let mut pause = PAUSE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let reason = match self.client.get(&url, most(path), left.max(PAUSE)) {
                Ok(fetched) if fetched.status == 200 => return Ok(fetched.body),
                Ok(fetched) if [404, 410].contains(&fetched.status) => {
                    let (path, status) = (path.to_string(), fetched.status);
                    return Err(SourceError::Missing { path, status });
                }
                Ok(fetched) => format!("the answer is {}", fetched.status),
                Err(FetchError::TooLong { most }) => {
                    return Err(SourceError::TooLong { path: path.to_string(), most });
                }
                Err(FetchError::Failed { reason }) => reason,
            };
            if Instant::now() + pause >= until {
                return Err(SourceError::Failed { path: path.to_string(), reason });
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
    }
}

/// Fetches many resources on several threads. The results are in the order of `paths`.
pub(super) fn fetch_all(
    source: &dyn Source,
    paths: &[LogPath],
    threads: usize,
) -> Vec<Result<Vec<u8>, SourceError>> {
    let next = AtomicUsize::new(0);
    let fetched = Mutex::new(vec![None; paths.len()]);
    let work = || {
        while let Some((place, path)) = {
            let place = next.fetch_add(1, Ordering::Relaxed);
            paths.get(place).map(|path| (place, *path))
        } {
            let bytes = source.fetch(path);
            fetched.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(bytes);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(paths.len()) {
            scope.spawn(work);
        }
        work();
    });
    let fetched = fetched.into_inner().unwrap_or_else(PoisonError::into_inner);
    let missing = |path: &LogPath| SourceError::Failed {
        path: path.to_string(),
        reason: "the thread that fetched it ended".to_owned(),
    };
    let all = fetched.into_iter().zip(paths);
    all.map(|(bytes, path)| bytes.unwrap_or_else(|| Err(missing(path)))).collect()
}
