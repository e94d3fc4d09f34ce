//! The resources of a tiled log: C2SP `tlog-tiles`.
//!
//! # Invariants
//!
//! - A path that is read is written back byte for byte: every resource has one path.
//! - A tile has 1 to 256 hashes; an empty one has no path.

mod bundle;
mod path;
mod range;
mod width;

pub use bundle::{BundleError, MAX_ENTRY, read_bundle, write_bundle};
pub use path::{EntryBundlePath, LogPath, PathError, TilePath};
pub use range::{Bundles, Tiles};
pub use width::{TILE_WIDTH, TileWidth, hashes_at, partial_width};
