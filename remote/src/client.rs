//! A bucket behind the crate `object_store`.
//!
//! # Invariant
//!
//! No request is made again in here: `object_store` would report the second answer, and the caller has to know that
//! there was a first. Retries with growing waits are those of the protocol, by [`Bucket::pause`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::bucket::{Bucket, Failed, Got};
use crate::name::{Folder, Name};

/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(5);
const FIRST: Duration = Duration::from_millis(50);
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How many requests were made.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) creates: AtomicU64,
    pub(crate) gets: AtomicU64,
    pub(crate) lists: AtomicU64,
    pub(crate) deletes: AtomicU64,
    pub(crate) retries: AtomicU64,
}

/// The objects below one prefix.
#[derive(Debug)]
pub(crate) struct Client {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    tries: AtomicU32,
    pub(crate) requests: Requests,
}

impl Client {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix, tries: AtomicU32::new(6), requests: Requests::default() }
    }

    /// Gives up after so many tries.
    pub(crate) fn set_tries(&self, tries: u32) {
        self.tries.store(tries, Ordering::Relaxed);
    }

    fn path(&self, name: &Name) -> Path {
        let pieces = self.prefix.parts();
        let own = name.as_str().split('/').map(Into::into);
        pieces.chain(own).collect()
    }
}

fn failed(error: &object_store::Error) -> Failed {
    use object_store::Error as E;
    let for_good = matches!(
        error,
        E::PermissionDenied { .. }
            | E::Unauthenticated { .. }
            | E::NotSupported { .. }
            | E::NotImplemented { .. }
            | E::InvalidPath { .. }
            | E::UnknownConfigurationKey { .. }
    );
    Failed { for_good, reason: error.to_string() }
}

async fn timed<T>(
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<object_store::Result<T>, Failed> {
    tokio::time::timeout(TIMEOUT, request).await.map_err(|_| Failed {
        for_good: false,
        reason: format!("there was no answer within {} s", TIMEOUT.as_secs()),
    })
}

/// Whether there is memory for so many bytes. `object_store` ends the process if there is not.
fn fits_in_memory(len: u64) -> bool {
    usize::try_from(len).is_ok_and(|len| Vec::<u8>::new().try_reserve_exact(len).is_ok())
}

impl Bucket for Client {
    async fn get(&self, name: &Name, most: u64) -> Result<Option<Got>, Failed> {
        self.requests.gets.fetch_add(1, Ordering::Relaxed);
        let path = self.path(name);
        let found = timed(async {
            let found = self.store.get(&path).await?;
            let len = found.meta.size;
            if len > most {
                return Ok(Ok(Got::TooLong(len)));
            }
            match fits_in_memory(len) {
                true => Ok(Ok(Got::Bytes(found.bytes().await?))),
                false => Ok(Err(len)),
            }
        });
        match found.await? {
            Ok(Ok(got)) => Ok(Some(got)),
            Ok(Err(len)) => {
                let reason = format!("there is no memory for its {len} bytes");
                Err(Failed { for_good: true, reason })
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn create(&self, name: &Name, bytes: Bytes) -> Result<(), Failed> {
        self.requests.creates.fetch_add(1, Ordering::Relaxed);
        let options = PutOptions::from(PutMode::Create);
        let path = self.path(name);
        let put = self.store.put_opts(&path, PutPayload::from(bytes), options);
        timed(put).await?.map(drop).map_err(|error| failed(&error))
    }

    async fn list(&self, folder: Folder) -> Result<Vec<Name>, Failed> {
        self.requests.lists.fetch_add(1, Ordering::Relaxed);
        let folder: Path =
            self.prefix.parts().chain([folder.prefix().trim_end_matches('/').into()]).collect();
        let mut found = self.store.list(Some(&folder));
        let mut names = Vec::new();
        while let Some(object) = timed(async { found.next().await.transpose() }).await?.transpose()
        {
            let location = object.map_err(|error| failed(&error))?.location;
            let own: Vec<_> = location.prefix_match(&self.prefix).into_iter().flatten().collect();
            let own: Vec<&str> = own.iter().map(AsRef::as_ref).collect();
            names.extend(Name::parse(&own.join("/")));
        }
        Ok(names)
    }

    async fn delete(&self, name: &Name) -> Result<(), Failed> {
        self.requests.deletes.fetch_add(1, Ordering::Relaxed);
        let path = self.path(name);
        match timed(self.store.delete(&path)).await? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn pause(&self, tries: u32) -> bool {
        self.requests.retries.fetch_add(1, Ordering::Relaxed);
        if tries >= self.tries.load(Ordering::Relaxed) {
            return false;
        }
        let wait = FIRST.saturating_mul(1 << tries.min(10)).min(LONGEST);
        // Between half of it and all of it, so that many writers do not come back together.
        let [low, high] = [self.nonce()[0], self.nonce()[1]];
        let share = 512 + (u32::from(low) | u32::from(high) << 8) % 512;
        tokio::time::sleep(wait * share / 1024).await;
        true
    }

    fn nonce(&self) -> [u8; 16] {
        let mut nonce = [0; 16];
        if getrandom::fill(&mut nonce).is_err() {
            // Without random bytes, time and place still tell writers apart.
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let now = now.unwrap_or_default().as_nanos() ^ u128::from(std::process::id()) << 96;
            nonce = now.to_le_bytes();
        }
        nonce
    }
}
