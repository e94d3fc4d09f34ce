//! The operating system's file system.
/// The operating system's file system.
#[derive(Debug)]
pub struct OsFileSystem;
