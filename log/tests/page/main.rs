//! The page of a log, in a browser that people use. Pictures of it are kept in the directory of the build, `tmp/page`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test panics when it fails"
)]

mod browser;
mod liar;
mod looks;
mod lookup;
mod served;
