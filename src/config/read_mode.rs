//! How parts are read.

/// How parts are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadMode {
    /// Parts are mapped into memory. Reading a page in the page cache costs no system call. If the disk
    /// fails under a mapped page, or another program truncates a part, the operating system ends the
    /// process (`SIGBUS`). For reliable disks, or for processes that may end when the disk fails.
    #[default]
    Mapped,
    /// Nothing is mapped. Parts are read by positional reads, and each read can fail. An error of the
    /// disk is reported as [`Io`](crate::Error::Io) with the file and the offset, and a truncated part
    /// as [`Damaged`](crate::Error::Damaged). The process continues. A proof costs one system call per
    /// level, and one or two more for each block that is read for the first time. Such a block is
    /// verified in the buffer from which the read is answered. Later reads of the block are not verified
    /// again.
    ///
    /// A process has at most 128 parts open at a time. If a store has more, a part is reopened when it
    /// is read. A [`Reader`](crate::Reader) may then find a part [`Missing`](crate::Problem::Missing)
    /// that the writer has merged away since. The reader continues after a
    /// [`refresh`](crate::Reader::refresh).
    Pread,
}
