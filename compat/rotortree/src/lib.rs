//! Nothing but tests: duramen's trees with BLAKE3 against those of `rotortree`, an independent
//! implementation of the same lean tree. A crate of its own, because rotortree pins the exact
//! version of a dependency that the users of duramen must be free to choose.

/// Runs the examples of the page for programs that move.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../docs/from-rotortree.md")]
    struct FromRotortree;
}
