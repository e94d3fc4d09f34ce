//! Ships a [`duramen`] store to object storage, so that it survives the loss of its machine.
//!
//! One writer at a time extends the store in the bucket. Another machine takes it over at any time, whether or not the
//! first one still runs: from then on the first one can write nothing more there, and what it had acknowledged as
//! [`Remote`](Level::Remote) is what the other one has. No server has to be run, and no clock has to be right: the bucket
//! needs create-if-absent and nothing else.
//!
//! [`Remote`] is the place in the bucket, [`Shipper`] what ships a store that is open here. See there for an example.

mod body;
mod bucket;
mod client;
mod collect;
mod dirs;
mod error;
mod fsck;
mod mutant;
mod name;
mod note;
mod objects;
mod protocol;
mod remote;
mod runtime;
#[cfg(feature = "s3")]
mod s3;
mod ship;
#[cfg(test)]
mod sim;

pub use error::{Error, Result};
pub use fsck::{Finding, RemoteSurvey};
pub use remote::{Remote, RemoteStatus, Requests, Restored};
pub use ship::{Level, RemoteToken, ShipConfig, ShipHandle, ShipPolicy, ShipStats, Shipper};
