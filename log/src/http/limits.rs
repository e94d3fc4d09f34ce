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
    /// How long a client may take to send the body of a request (default: 30 seconds).
    pub body: Duration,
    /// Bytes of the body of a batch (default: 16 MiB).
    pub batch_bytes: usize,
    /// Entries of a batch (default: 65,536).
    pub batch_entries: usize,
    /// How long `?wait=checkpoint` waits for one (default: 30 seconds).
    pub wait: Duration,
    /// How long the requests that run may take when the server stops (default: 30 seconds).
    pub drain: Duration,
    /// Streams of `/v1/tail` at a time (default: 1,000).
    pub tails: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            batch_bytes: 16 << 20,
            batch_entries: 1 << 16,
            wait: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            tails: 1000,
        }
    }
}
