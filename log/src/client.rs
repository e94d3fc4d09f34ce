//! Requests to other people's servers: witnesses, and logs that are followed.
//!
//! # Invariants
//!
//! - A request ends within its time, whatever the server does.
//! - No more of an answer is kept than the caller asks for, compressed or not.
//! - A redirect is not followed: where a key or a policy says to ask, there it is asked.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// A client with its connections, which are used again.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
}

impl Client {
    /// A client that keeps `idle` connections to a server open.
    pub(crate) fn new(idle: usize) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections_per_host(idle)
            .max_response_header_size(16 << 10)
            .user_agent(concat!("duramen/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().into() }
    }

    /// Fetches `url`, at most `most` bytes of it, within `time`.
    pub(crate) fn get(
        &self,
        url: &str,
        most: usize,
        time: Duration,
    ) -> Result<Fetched, FetchError> {
        let request = self.agent.get(url).config().timeout_global(Some(time)).build();
        read(request.call(), most)
    }

    /// Posts `body` to `url` and takes at most `most` bytes of the answer, within `time`.
    pub(crate) fn post(
        &self,
        url: &str,
        body: &str,
        most: usize,
        time: Duration,
    ) -> Result<Fetched, FetchError> {
        let request = self.agent.post(url).config().timeout_global(Some(time)).build();
        read(request.content_type("text/plain; charset=utf-8").send(body), most)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

fn read(answer: Result<Response<Body>, ureq::Error>, most: usize) -> Result<Fetched, FetchError> {
    let answer = answer.map_err(|error| FetchError::Failed { reason: error.to_string() })?;
    let status = answer.status().as_u16();
    let content_type = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    let content_type = content_type.map(str::to_owned);
    let mut body = Vec::new();
    let bytes = answer.into_body().into_with_config().limit(u64::MAX).reader();
    // One more than is asked for, to see whether there is more.
    let read = bytes.take((most as u64).saturating_add(1)).read_to_end(&mut body);
    read.map_err(|error| FetchError::Failed { reason: error.to_string() })?;
    if body.len() > most {
        return Err(FetchError::TooLong { most });
    }
    Ok(Fetched { status, content_type, body })
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// The server was not reached, did not answer in time, or broke off.
    #[error("{reason}")]
    Failed { reason: String },
    /// The answer is too long.
    #[error("the answer is longer than {most} bytes")]
    TooLong { most: usize },
}

/// A URL below which paths are appended, without a slash at its end. `None` if it is none of http or https.
pub(crate) fn prefix(url: &str) -> Option<String> {
    let uri: ureq::http::Uri = url.parse().ok()?;
    let known = ["http", "https"].contains(&uri.scheme_str()?) && uri.query().is_none();
    (known && uri.host().is_some_and(|host| !host.is_empty()))
        .then(|| url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_url_of_http_without_a_query() {
        assert_eq!(prefix("http://a.example/x//").as_deref(), Some("http://a.example/x"));
        assert_eq!(prefix("https://a.example").as_deref(), Some("https://a.example"));
        for bad in
            ["", "a.example", "ftp://a.example", "http://a?b", "/x", "http:///x", "file:///x"]
        {
            assert_eq!(prefix(bad), None, "{bad:?}");
        }
    }
}
