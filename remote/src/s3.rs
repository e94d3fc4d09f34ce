//! Buckets behind S3, from an address and the environment.
//!
//! # Invariant
//!
//! The client makes no request a second time by itself: it would report a success whose answer was lost as a conflict. The
//! protocol reads back and tries again.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, RetryConfig};

/// The bucket of `url`, as `AWS_ENDPOINT`, `AWS_REGION`, `AWS_ACCESS_KEY_ID` and the like say. Fails with a reason.
pub(crate) fn open(url: &str) -> Result<Arc<dyn ObjectStore>, String> {
    // Only the first call of a process does something, and another provider does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let store = AmazonS3Builder::from_env().with_url(url).with_retry(retry).build();
    store.map(|store| Arc::new(store) as _).map_err(|error| error.to_string())
}
