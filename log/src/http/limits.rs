//! What a client may take of the server.

use std::time::Duration;

/// What one client, and all of them together, may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time (default: 10,000). More wait until one ends.
    pub connections: usize,
    /// How long a client may take to send the head of a request (default: 10 seconds), and between two requests of a
    /// connection.
    pub head: Duration,
    /// How long a client may take to send the body of a request, and may take nothing of its answer (default: 30 seconds).
    pub body: Duration,
    /// Bytes that a body must bring in each [`stretch`](Self::stretch) until it is there (default: 10 KiB). One that is slower
    /// is given up.
    pub pace: usize,
    /// How long a stretch of a body is (default: 10 seconds). A network may lose a packet, and send it again.
    pub stretch: Duration,
    /// Bytes of the body of a batch (default: 16 MiB).
    pub batch_bytes: usize,
    /// Entries of a batch (default: 65,536).
    pub batch_entries: usize,
    /// How long `?wait=checkpoint` waits for one (default: 30 seconds).
    pub wait: Duration,
    /// How long the requests that run may take when the server stops (default: 30 seconds).
    pub drain: Duration,
    /// For how long, beside the time between two checkpoints, leaves may be durable without a checkpoint before the log
    /// is not ready (default: 60 seconds).
    pub lag: Duration,
    /// Streams of `/v1/tail` at a time (default: 1,000).
    pub tails: usize,
    /// Bytes that requests and answers of all clients together take in memory (default: 256 MiB), answers three quarters
    /// of them. A request for which there is no room gets that of bodies and long answers whose clients are slow. If there
    /// is none, it is refused with 503.
    pub memory: usize,
    /// Reads of the store at a time that may wait for the disk (default: 32). More wait.
    pub reads: usize,
    /// Bytes of tiles and bundles that are kept in memory, of all logs together (default: 64 MiB). They are a part of
    /// [`memory`](Self::memory), at most a quarter.
    pub cache: usize,
}

impl Limits {
    /// Lets a client take `time` for the head of a request and for each stretch of its body, and three times as long for
    /// the whole body. The default is 10 seconds.
    #[must_use]
    pub fn patience(self, time: Duration) -> Self {
        Self { head: time, stretch: time, body: time.saturating_mul(3), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            pace: 10 << 10,
            stretch: Duration::from_secs(10),
            batch_bytes: 16 << 20,
            batch_entries: 1 << 16,
            wait: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            lag: Duration::from_secs(60),
            tails: 1000,
            memory: 256 << 20,
            reads: 32,
            cache: 64 << 20,
        }
    }
}
