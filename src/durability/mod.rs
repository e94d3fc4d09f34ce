//! How far the log is durable, and the tokens that wait for durability.

mod token;
mod watermark;

pub use token::DurabilityToken;
pub(crate) use watermark::{Ending, WakerId, Watermark};
