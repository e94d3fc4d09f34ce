//! The directory of a store and its file system.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytesize::ByteSize;
use rustix::fs::{Access, access, statvfs};
use rustix::process::geteuid;

use super::{Grade, Sign};

/// Less free space than this is a problem: a log segment and a manifest may not fit.
const LITTLE: u64 = 128 << 20;

pub(super) fn look(dir: &Path) -> Vec<Sign> {
    let mut signs = Vec::new();
    signs.extend(permissions(dir));
    signs.extend(space(dir));
    signs.push(file_system(dir));
    signs
}

fn permissions(dir: &Path) -> Vec<Sign> {
    let what = "permissions";
    let meta = match fs::metadata(dir) {
        Ok(meta) => meta,
        Err(error) => return vec![Sign::new(what, Grade::Problem, error.to_string())],
    };
    let mode = meta.mode() & 0o7777;
    let mut signs = Vec::new();
    if access(dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let text = format!("this user cannot write here: mode {mode:o}, owner {}", meta.uid());
        signs.push(Sign::new(what, Grade::Problem, text));
    }
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        let text = format!("others can change what is here: mode {mode:o}");
        signs.push(Sign::new(what, Grade::Note, text));
    }
    let strangers = strangers(dir);
    if strangers > 0 {
        let text = format!("{strangers} of the files here belong to other users");
        signs.push(Sign::new(what, Grade::Note, text));
    }
    if signs.is_empty() {
        signs.push(Sign::new(what, Grade::Good, format!("mode {mode:o}")));
    }
    signs
}

/// How many files of a store belong to other users.
fn strangers(dir: &Path) -> usize {
    let own = geteuid().as_raw();
    let dirs = ["manifest", "wal", "parts"].map(|name| dir.join(name));
    let files = dirs.iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    files.filter(|file| file.metadata().is_ok_and(|meta| meta.uid() != own)).count()
}

fn space(dir: &Path) -> Vec<Sign> {
    let found = match statvfs(dir) {
        Ok(found) => found,
        Err(error) => return vec![Sign::new("space", Grade::Problem, error.to_string())],
    };
    let (free, all) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
    let grade = match free {
        free if free < LITTLE => Grade::Problem,
        free if free < all / 20 => Grade::Note,
        _ => Grade::Good,
    };
    let text = format!("{} of {} are free", ByteSize(free), ByteSize(all));
    let mut signs = vec![Sign::new("space", grade, text)];
    // File systems without a fixed number of files say 0.
    if found.f_files > 0 && found.f_favail < 1000 {
        let text = format!("only {} more files can be made", found.f_favail);
        signs.push(Sign::new("space", Grade::Problem, text));
    }
    signs
}

/// What is known of a kind of file system.
const KINDS: [(u64, &str, Grade, &str); 16] = [
    (0xef53, "ext4", Grade::Good, ""),
    (0x5846_5342, "XFS", Grade::Good, ""),
    (0xf2f5_2010, "F2FS", Grade::Good, ""),
    (
        0x9123_683e,
        "Btrfs",
        Grade::Note,
        "it writes no block in place: erased entries stay until their blocks are used again",
    ),
    (
        0x2fc1_2fc1,
        "ZFS",
        Grade::Note,
        "it writes no block in place: erased entries stay until their blocks are used again",
    ),
    (
        0xca45_1a4e,
        "bcachefs",
        Grade::Note,
        "it writes no block in place: erased entries stay until their blocks are used again",
    ),
    (0x0102_1994, "tmpfs", Grade::Note, "it is memory: nothing is durable"),
    (0x8584_58f6, "ramfs", Grade::Note, "it is memory: nothing is durable"),
    (
        0x794c_7630,
        "overlayfs",
        Grade::Note,
        "use a volume for the store, which outlives the container",
    ),
    (0x6573_5546, "FUSE", Grade::Note, "what an fsync does is up to its program"),
    (0x6969, "NFS", Grade::Problem, "network file systems are not supported"),
    (0xff53_4d42, "CIFS", Grade::Problem, "network file systems are not supported"),
    (0xfe53_4d42, "SMB", Grade::Problem, "network file systems are not supported"),
    (0x00c3_6400, "Ceph", Grade::Problem, "network file systems are not supported"),
    (0x0102_1997, "9p", Grade::Problem, "network file systems are not supported"),
    (0x5346_414f, "AFS", Grade::Problem, "network file systems are not supported"),
];

#[cfg(target_os = "linux")]
#[allow(clippy::unnecessary_cast, reason = "types differ")]
fn file_system(dir: &Path) -> Sign {
    let what = "file system";
    let kind = match rustix::fs::statfs(dir) {
        // The number has 32 bits, whatever type the system gives it.
        Ok(found) => u64::from_ne_bytes((found.f_type as i64).to_ne_bytes()) & 0xffff_ffff,
        Err(error) => return Sign::new(what, Grade::Problem, error.to_string()),
    };
    match KINDS.iter().find(|(number, ..)| *number == kind) {
        Some((_, name, grade, "")) => Sign::new(what, *grade, *name),
        Some((_, name, grade, text)) => Sign::new(what, *grade, format!("{name}: {text}")),
        None => Sign::new(what, Grade::Note, format!("of an unknown kind, {kind:#x}")),
    }
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path) -> Sign {
    let _ = KINDS;
    Sign::new("file system", Grade::Note, "its kind is known on Linux alone")
}
