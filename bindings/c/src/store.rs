//! A store with one tree.

use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use duramen::merkle::codec::{ClaimError, ConsistencyClaim, InclusionClaim, MultiClaim};
use duramen::{
    Arity, Blake3, Config, DynAccumulator, EntryConfig, FlushPolicy, Hasher, Keccak256, LeafIndex,
    Rfc6962Sha256, Store, TreeConfig, TreeSize,
};
use duramen_bindings::Refusal;

use crate::raw;
use crate::status::{Failure, duramen_status, guard};
use crate::token::duramen_token;
use crate::tree::duramen_head;

/// The size that stands for the size of the tree at the moment of the call.
pub const DURAMEN_NOW: u64 = u64::MAX;

/// How a store is opened. All fields zero but `hasher` and `arity` are the usual ones.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct duramen_options {
    /// "blake3", "rfc6962-sha256" or "keccak256".
    pub hasher: *const c_char,
    /// 2, 4, 8 or 16.
    pub arity: u32,
    /// 1 for a tree that keeps the data of its leaves, 0 for one that does not.
    pub entries: u8,
    /// 1 if there must be a store already, 0 if a missing one is created.
    pub existing: u8,
    /// 1 if leaves become durable only when a call asks for it, 0 if they do by themselves, within `flush_milliseconds`.
    pub manual: u8,
    /// 0 for 10 milliseconds.
    pub flush_milliseconds: u64,
}

/// An open store with the tree "main". The caller frees it with `duramen_close`. Any threads may use it at the same time.
#[derive(Debug)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct duramen_store(DynAccumulator);

/// Bytes that duramen made. The caller frees them with `duramen_bytes_free`.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct duramen_bytes {
    /// Null if there are none.
    pub data: *mut u8,
    /// How many bytes.
    pub len: usize,
}

impl From<Vec<u8>> for duramen_bytes {
    fn from(bytes: Vec<u8>) -> Self {
        let bytes = Box::leak(bytes.into_boxed_slice());
        match bytes.len() {
            0 => Self { data: ptr::null_mut(), len: 0 },
            len => Self { data: bytes.as_mut_ptr(), len },
        }
    }
}

impl From<ClaimError> for Failure {
    fn from(error: ClaimError) -> Self {
        Refusal::Input(error.to_string()).into()
    }
}

fn hasher(name: &str) -> Result<Arc<dyn Hasher>, Failure> {
    Ok(match name {
        "blake3" => Arc::new(Blake3),
        "rfc6962-sha256" => Arc::new(Rfc6962Sha256),
        "keccak256" => Arc::new(Keccak256),
        _ => {
            return Err(Refusal::Input(format!(
                "the hash function {name:?} is not known; known are blake3, rfc6962-sha256 and keccak256"
            ))
            .into());
        }
    })
}

/// Frees bytes that duramen made. No bytes do nothing.
///
/// # Safety
///
/// `bytes` came from a call of duramen, unchanged, and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_bytes_free(bytes: duramen_bytes) {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        raw::free_bytes(bytes.data, bytes.len);
        Ok(())
    });
}

/// Opens the store in the directory `path`, and writes its handle. Everything that it shows is durable.
///
/// # Safety
///
/// `path` is a text that ends with a zero, options are at `options`, and a pointer can be written at `store`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_open(
    path: *const c_char,
    options: *const duramen_options,
    store: *mut *mut duramen_store,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let options = raw::handle(options, "the options")?;
        let hasher = hasher(raw::text(options.hasher, "the hash function")?)?;
        let arity = usize::try_from(options.arity).ok().and_then(Arity::new).ok_or_else(|| {
            Refusal::Input(format!("the arity is {}, not 2, 4, 8 or 16", options.arity))
        })?;
        if store.is_null() {
            return Err(
                Refusal::Input("the place of the store is a null pointer".to_owned()).into()
            );
        }
        let flush = match (options.manual, options.flush_milliseconds) {
            (0, 0) => FlushPolicy::default(),
            (0, within) => FlushPolicy::interval(Duration::from_millis(within))?,
            _ => FlushPolicy::Manual,
        };
        let config = Config::new(raw::text(path, "the path")?)
            .create(options.existing == 0)
            .flush_policy(flush);
        let mut tree = TreeConfig::new(hasher, arity);
        if options.entries != 0 {
            tree = tree.entries(EntryConfig::new());
        }
        let opened = Store::open(config)?;
        raw::give(store, duramen_store(opened.tree_dyn("main", tree)?));
        Ok(())
    })
}

/// Makes everything durable, closes the store and frees the handle, whatever it returns. Null does nothing.
///
/// # Safety
///
/// `store` is null, or came from `duramen_open` and was not closed. No other thread uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_close(store: *mut duramen_store) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        match raw::take(store) {
            Some(store) => Ok(store.0.close()?),
            None => Ok(()),
        }
    })
}

/// Appends a leaf of 32 bytes, and writes its index and a token, which the caller frees. May wait for room.
///
/// # Safety
///
/// `store` is open; 32 bytes can be read at `leaf`; a number and a pointer can be written at `index` and `token`, or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_insert(
    store: *const duramen_store,
    leaf: *const u8,
    index: *mut u64,
    token: *mut *mut duramen_token,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let inserted = raw::handle(store, "the store")?.0.insert(raw::hash(leaf, "the leaf")?)?;
        raw::write(index, inserted.index.get());
        raw::give(token, duramen_token(inserted.token));
        Ok(())
    })
}

/// Appends a leaf of 32 bytes, writes its index, and returns once it is durable. Threads that call this share fsyncs.
///
/// # Safety
///
/// As `duramen_insert`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_insert_durable(
    store: *const duramen_store,
    leaf: *const u8,
    index: *mut u64,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let leaf = raw::hash(leaf, "the leaf")?;
        raw::write(index, raw::handle(store, "the store")?.0.insert_durable(leaf)?.get());
        Ok(())
    })
}

/// Appends `count` leaves of 32 bytes that lie one after another, and writes the index of the first and a token, which the
/// caller frees. They are read where they lie. After a crash all of them are there, or none.
///
/// # Safety
///
/// As `duramen_insert`, with `count` times 32 bytes at `leaves`, to which nobody writes meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_insert_many(
    store: *const duramen_store,
    leaves: *const u8,
    count: usize,
    first: *mut u64,
    token: *mut *mut duramen_token,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let leaves = raw::hashes(leaves, count, "the leaves")?;
        let inserted = raw::handle(store, "the store")?.0.insert_many(leaves)?;
        raw::write(first, inserted.range.start);
        raw::give(token, duramen_token(inserted.token));
        Ok(())
    })
}

/// Appends an entry to a tree that keeps entries, and writes its index and a token, which the caller frees.
///
/// # Safety
///
/// As `duramen_insert`, with `len` bytes at `entry`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_insert_entry(
    store: *const duramen_store,
    entry: *const u8,
    len: usize,
    index: *mut u64,
    token: *mut *mut duramen_token,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let entry = raw::bytes(entry, len, "the entry")?;
        let inserted = raw::handle(store, "the store")?.0.insert_entry(entry)?;
        raw::write(index, inserted.index.get());
        raw::give(token, duramen_token(inserted.token));
        Ok(())
    })
}

/// Returns when everything inserted before the call is durable.
///
/// # Safety
///
/// `store` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_flush(store: *const duramen_store) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe { Ok(raw::handle(store, "the store")?.0.flush()?) })
}

/// Flushes, and writes what is new to a part, so that the next open does not replay it.
///
/// # Safety
///
/// `store` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_checkpoint(store: *const duramen_store) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        raw::handle(store, "the store")?.0.checkpoint()?;
        Ok(())
    })
}

/// Writes the head of the tree when it had `size` leaves, or now for DURAMEN_NOW. A crash may undo leaves that are not
/// durable: sign and publish `duramen_durable_head`.
///
/// # Safety
///
/// `store` is open; a head can be written at `head`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_head_at(
    store: *const duramen_store,
    size: u64,
    head: *mut duramen_head,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let tree = &raw::handle(store, "the store")?.0;
        let found = if size == DURAMEN_NOW { tree.head() } else { tree.head_at(TreeSize(size)) }?;
        raw::write(head, duramen_head { size: found.size.get(), root: found.root });
        Ok(())
    })
}

/// Writes the head of everything that is durable: no crash takes it back.
///
/// # Safety
///
/// As `duramen_head_at`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_durable_head(
    store: *const duramen_store,
    head: *mut duramen_head,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let found = raw::handle(store, "the store")?.0.durable_head()?;
        raw::write(head, duramen_head { size: found.size.get(), root: found.root });
        Ok(())
    })
}

/// Writes the leaf at `index`: 32 bytes.
///
/// # Safety
///
/// `store` is open; 32 bytes can be written at `leaf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_leaf_at(
    store: *const duramen_store,
    index: u64,
    leaf: *mut [u8; 32],
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        raw::write(leaf, raw::handle(store, "the store")?.0.leaf(LeafIndex(index))?);
        Ok(())
    })
}

/// Writes the entry at `index`, which the caller frees.
///
/// # Safety
///
/// `store` is open; bytes can be written at `entry`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_entry_at(
    store: *const duramen_store,
    index: u64,
    entry: *mut duramen_bytes,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        answer(entry, || Ok(raw::handle(store, "the store")?.0.entry(LeafIndex(index))?.to_vec()))
    })
}

/// Writes the encoded proof that the leaf at `index` is in the tree of `size` leaves, or in the tree now for DURAMEN_NOW. The
/// caller frees it.
///
/// # Safety
///
/// `store` is open; bytes can be written at `proof`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_prove(
    store: *const duramen_store,
    index: u64,
    size: u64,
    proof: *mut duramen_bytes,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        answer(proof, || {
            let tree = &raw::handle(store, "the store")?.0;
            let snapshot = tree.snapshot();
            let (size, index) = (size_or_now(size, snapshot.size()), LeafIndex(index));
            let claim = InclusionClaim { size, index, proof: snapshot.prove_at(index, size)? };
            Ok(claim.encode(tree.hasher().id(), tree.arity())?)
        })
    })
}

/// Writes one encoded proof of the leaves at all `indexes`, as `duramen_prove` does for one.
///
/// # Safety
///
/// As `duramen_prove`, with `count` numbers at `indexes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_prove_many(
    store: *const duramen_store,
    indexes: *const u64,
    count: usize,
    size: u64,
    proof: *mut duramen_bytes,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        answer(proof, || {
            let tree = &raw::handle(store, "the store")?.0;
            let indexes = raw::numbers(indexes, count, "the indexes")?;
            let mut indexes: Vec<_> = indexes.iter().copied().map(LeafIndex).collect();
            indexes.sort_unstable();
            indexes.dedup();
            let snapshot = tree.snapshot();
            let size = size_or_now(size, snapshot.size());
            let proof = snapshot.prove_many_at(&indexes, size)?;
            Ok(MultiClaim { size, indexes, proof }.encode(tree.hasher().id(), tree.arity())?)
        })
    })
}

/// Writes the encoded proof that the tree of `old_size` leaves is a prefix of the tree of `new_size`, or of the tree now for
/// DURAMEN_NOW. The caller frees it.
///
/// # Safety
///
/// As `duramen_prove`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_prove_consistency(
    store: *const duramen_store,
    old_size: u64,
    new_size: u64,
    proof: *mut duramen_bytes,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        answer(proof, || {
            let tree = &raw::handle(store, "the store")?.0;
            let snapshot = tree.snapshot();
            let (old, new) = (TreeSize(old_size), size_or_now(new_size, snapshot.size()));
            let proof = snapshot.prove_consistency_between(old, new)?;
            Ok(ConsistencyClaim { old, new, proof }.encode(tree.hasher().id(), tree.arity())?)
        })
    })
}

fn size_or_now(size: u64, now: TreeSize) -> TreeSize {
    if size == DURAMEN_NOW { now } else { TreeSize(size) }
}

/// Makes bytes and writes them. They are made only for a caller that has a place for them, who frees them.
///
/// # Safety
///
/// As [`raw::write`].
unsafe fn answer(
    place: *mut duramen_bytes,
    make: impl FnOnce() -> Result<Vec<u8>, Failure>,
) -> Result<(), Failure> {
    if place.is_null() {
        return Err(Refusal::Input("the place of the answer is a null pointer".to_owned()).into());
    }
    // SAFETY: the caller's promise.
    unsafe { raw::write(place, duramen_bytes::from(make()?)) };
    Ok(())
}
