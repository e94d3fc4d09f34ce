//! `duramen export` and `duramen import`: entries from a tree into a stream of bytes, and back.
//!
//! `framed` is the format as pure functions of readers and writers, `jsonl` reads lines of JSON. Both read through
//! `input`. `target` is the tree that an import appends to.

mod export;
mod framed;
mod header;
mod import;
mod input;
mod item;
mod jsonl;
mod malformed;
mod target;

pub(crate) use export::run as export;
pub(crate) use import::run as import;
pub(crate) use malformed::Malformed;
