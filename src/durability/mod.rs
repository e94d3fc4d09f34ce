//! How far the log is durable, and the tokens that wait for it.

mod token;
mod watermark;

pub use token::DurabilityToken;
pub(crate) use watermark::{WakerId, Watermark};

/// A place in the order in which a store accepted leaves, over all its trees: the number of leaves
/// accepted up to and including one's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}
