//! Syncs that do not come back for a while.
