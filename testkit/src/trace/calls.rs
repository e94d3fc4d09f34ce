//! What a traced process did to the disk: the text that strace wrote, as a list of calls.
//!
//! The text has all strings in hexadecimal (`-xx`), all descriptors with their paths (`-y`), and the calls
//! of all threads in the order in which they began and ended (`-f`).

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

/// The system calls that are traced. Those that an architecture does not have are left out.
pub const TRACED: &str = "trace=?open,?openat,?openat2,?creat,?mkdir,?mkdirat,?rename,?renameat,\
     ?renameat2,?link,?linkat,?unlink,?unlinkat,?rmdir,?write,?pwrite64,?writev,?pwritev,?pwritev2,\
     ?fallocate,?truncate,?ftruncate,?fsync,?fdatasync,?copy_file_range,?sendfile,?io_uring_setup,\
     ?mmap,?mmap2";

/// One call that changes the disk, makes a change durable, or says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it began. Moments count over all processes of a run.
    pub begun: u64,
    /// When it ended; `None` if the process did before.
    pub ended: Option<u64>,
    pub succeeded: bool,
    pub what: What,
}

/// What a call does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    MakeDir(PathBuf),
    /// Opens a file and makes it where it is missing.
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    /// Writes bytes that end at this offset of the file.
    WriteUpTo(PathBuf, Vec<u8>, u64),
    /// Gives a file another length, or more room.
    Resize(PathBuf),
    /// Cuts a file to nothing, or to a length that is not known.
    Cut(PathBuf),
    /// Gives a file this length.
    CutTo(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    /// Maps a file so that writing to memory changes it.
    MapToWrite(PathBuf),
    /// Makes a file's bytes durable, or the names in a directory.
    Sync(PathBuf),
    /// A new process begins here.
    Start,
}

/// Reads what strace wrote of one process. `from` is the moment at which it was started.
///
/// # Errors
///
/// The line that is not understood: a trace that cannot be read must not pass for one in which all is well.
pub fn parse(text: &str, from: u64) -> Result<Vec<Call>, String> {
    let start = Call { begun: from, ended: Some(from), succeeded: true, what: What::Start };
    let mut calls = vec![start];
    // By thread: the call that has begun there, and the start of its line.
    let mut begun: HashMap<&str, (u64, String)> = HashMap::new();
    let mut moment = from;
    for line in text.lines() {
        moment += 1;
        let Some((thread, event)) = line.trim_start().split_once(' ') else { continue };
        let event = event.trim_start();
        if event.starts_with("+++") || event.starts_with("---") {
            continue;
        }
        let unknown = |why: &str| format!("{why}: {}", line.chars().take(300).collect::<String>());
        if let Some(start) = event.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (moment, start.to_owned()));
            continue;
        }
        let (began, whole) = match event.strip_prefix("<... ") {
            Some(resumed) => {
                let (_, rest) = resumed.split_once(" resumed>").ok_or(unknown("no call"))?;
                let (began, start) = begun.remove(thread).ok_or(unknown("never begun"))?;
                (began, start + rest)
            }
            None => (moment, event.to_owned()),
        };
        calls.extend(call(&whole, began, Some(moment)).map_err(|why| unknown(&why))?);
    }
    // What the process did not live to see the end of.
    for (began, start) in begun.into_values() {
        let whole = format!("{start}) = ?");
        calls.extend(call(&whole, began, None).map_err(|why| format!("{why}: {start}"))?);
    }
    calls.sort_by_key(|call| call.begun);
    Ok(calls)
}

fn call(text: &str, begun: u64, ended: Option<u64>) -> Result<Vec<Call>, String> {
    let (name, rest) = text.split_once('(').ok_or("no call")?;
    let (args, answer) = rest.rsplit_once(" = ").ok_or("no answer")?;
    let args = args.trim_end().strip_suffix(')').ok_or("no end of the arguments")?;
    let args = arguments(args);
    // Of a call that was cut short nothing is known: it may have happened or not.
    let answer = answer.split([' ', '<']).next().unwrap_or_default();
    let result: Option<i64> = answer.parse().ok();
    // An address is in hexadecimal.
    let succeeded = result.map_or(answer.starts_with("0x"), |result| result >= 0);
    let arg = |at: usize| args.get(at).map(String::as_str).ok_or("too few arguments");
    let below = |dir: usize, name: usize| -> Result<PathBuf, String> {
        let name = PathBuf::from(text_of(arg(name)?)?);
        match descriptor(arg(dir)?) {
            Some(dir) => Ok(plain(&dir.join(name))),
            None if name.is_absolute() => Ok(plain(&name)),
            None => Err("a name below an unknown directory".to_owned()),
        }
    };
    let path = |at: usize| -> Result<PathBuf, String> { Ok(plain(Path::new(&text_of(arg(at)?)?))) };
    let created = |flags: &str, path: PathBuf| {
        let mut all = Vec::new();
        if flags.contains("O_CREAT") {
            all.push(What::Create(path.clone()));
        }
        if flags.contains("O_TRUNC") {
            all.push(What::Cut(path));
        }
        all
    };
    let of_file = |at: usize, what: fn(PathBuf) -> What| -> Result<Vec<What>, String> {
        Ok(descriptor(arg(at)?).map(what).into_iter().collect())
    };
    let mut whats = match name {
        "open" => created(arg(1)?, path(0)?),
        "creat" => created("O_CREAT|O_TRUNC", path(0)?),
        "openat" | "openat2" => created(arg(2)?, below(0, 1)?),
        "mkdir" => vec![What::MakeDir(path(0)?)],
        "mkdirat" => vec![What::MakeDir(below(0, 1)?)],
        "rename" => vec![What::Rename(path(0)?, path(1)?)],
        "renameat" | "renameat2" => vec![What::Rename(below(0, 1)?, below(2, 3)?)],
        "link" => vec![What::Link(path(0)?, path(1)?)],
        // By its descriptor: a file that had no name.
        "linkat" if arg(1)? == "\"\"" => {
            let from = descriptor(arg(0)?).ok_or("a link to an unknown file")?;
            vec![What::Link(from, below(2, 3)?)]
        }
        "linkat" => vec![What::Link(below(0, 1)?, below(2, 3)?)],
        "unlink" | "rmdir" => vec![What::Remove(path(0)?)],
        "unlinkat" => vec![What::Remove(below(0, 1)?)],
        "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" => match descriptor(arg(0)?) {
            Some(path) => {
                let mut bytes = bytes_of(arg(1)?)?;
                // What did not fit comes again with the next call.
                if let Some(taken) = result.and_then(|taken| usize::try_from(taken).ok()) {
                    bytes.truncate(taken);
                }
                let at = match name {
                    "pwrite64" | "pwritev" | "pwritev2" => arg(3)?.parse::<u64>().ok(),
                    _ => None,
                };
                match at.and_then(|at| at.checked_add(bytes.len() as u64)) {
                    Some(end) => vec![What::WriteUpTo(path, bytes, end)],
                    None => vec![What::Write(path, bytes)],
                }
            }
            None => Vec::new(),
        },
        "copy_file_range" => of_file(2, |path| What::Write(path, Vec::new()))?,
        "sendfile" => of_file(0, |path| What::Write(path, Vec::new()))?,
        "fallocate" => of_file(0, What::Resize)?,
        "truncate" => vec![What::Cut(path(0)?)],
        "ftruncate" => match (descriptor(arg(0)?), arg(1)?.parse()) {
            (Some(path), Ok(len)) => vec![What::CutTo(path, len)],
            _ => of_file(0, What::Cut)?,
        },
        "fsync" | "fdatasync" => of_file(0, What::Sync)?,
        "mmap" | "mmap2" => {
            match (arg(2)?.contains("PROT_WRITE"), arg(3)?.contains("MAP_SHARED")) {
                (true, true) => of_file(4, What::MapToWrite)?,
                _ => Vec::new(),
            }
        }
        other => return Err(format!("{other}, which this does not follow")),
    };
    // A sync that the process did not live to see the end of has neither failed nor succeeded.
    whats.retain(|what| answer != "?" || !matches!(what, What::Sync(_)));
    Ok(whats.into_iter().map(|what| Call { begun, ended, succeeded, what }).collect())
}

/// Splits at the commas that stand in no list, structure or string.
fn arguments(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut arg = String::new();
    let (mut depth, mut quoted) = (0_usize, false);
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            '[' | '{' | '(' if !quoted => depth += 1,
            ']' | '}' | ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                all.push(std::mem::take(&mut arg).trim().to_owned());
                continue;
            }
            _ => {}
        }
        arg.push(letter);
    }
    if !arg.trim().is_empty() {
        all.push(arg.trim().to_owned());
    }
    all
}

/// The path that stands behind a descriptor, if it is one of a file that has a name.
fn descriptor(arg: &str) -> Option<PathBuf> {
    let (_, rest) = arg.split_once('<')?;
    let (hex, behind) = rest.rsplit_once('>')?;
    if behind.contains("deleted") {
        return None;
    }
    let path = String::from_utf8(unescaped(hex).ok()?).ok()?;
    path.starts_with('/').then(|| plain(Path::new(&path)))
}

fn text_of(arg: &str) -> Result<String, String> {
    String::from_utf8(bytes_of(arg)?).map_err(|_| "a name that is no text".to_owned())
}

/// The bytes of a string, or of all strings of a list.
fn bytes_of(arg: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = arg;
    while let Some((_, start)) = rest.split_once('"') {
        let (inner, behind) = start.split_once('"').ok_or("a string without an end")?;
        if behind.starts_with("...") {
            return Err("a string that was cut short".to_owned());
        }
        bytes.extend(unescaped(inner)?);
        rest = behind;
    }
    if rest.contains("...") {
        return Err("a list that was cut short".to_owned());
    }
    Ok(bytes)
}

fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let digits =
        |pair: &str| u8::from_str_radix(pair, 16).map_err(|_| format!("no digits: {pair}"));
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match rest.strip_prefix("\\x").and_then(|hex| hex.get(..2)) {
            Some(pair) => {
                bytes.push(digits(pair)?);
                rest = &rest[4..];
            }
            None => {
                let len = first.len_utf8();
                bytes.extend(rest[..len].bytes());
                rest = &rest[len..];
            }
        }
    }
    Ok(bytes)
}

/// The path without `.`, `..` and doubled separators.
fn plain(path: &Path) -> PathBuf {
    let mut all = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                all.pop();
            }
            other => all.push(other),
        }
    }
    all
}
