//! How parts are read.

/// How parts are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadMode {
    /// Parts are mapped into memory: reading what is in the system's cache costs no system call. If
    /// the disk fails under a mapped page, or another program truncates a part, the system ends the
    /// process (`SIGBUS`). For disks that are not expected to fail, or that a process may fail with.
    #[default]
    Mapped,
    /// Nothing is mapped. Parts are read by positional reads, each of which can fail: a disk's error
    /// is [`Io`](crate::Error::Io) with the file and the offset, a part that was truncated is
    /// [`Damaged`](crate::Error::Damaged), and the process goes on. A proof costs a system call per level, and
    /// one or two more for each block that is read for the first time. Such a block is verified in
    /// the buffer of the read that answers; later reads of it are not verified again.
    ///
    /// A process has at most 128 parts open at a time. Where there are more, each is opened again when it
    /// is read: a [`Reader`](crate::Reader) then finds a part [`Missing`](crate::Problem::Missing) that the
    /// writer has merged away since, and reads on after a [`refresh`](crate::Reader::refresh).
    Pread,
}
