//! Prints the contents of one file.

use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::file::Looked;
use super::utc;
use crate::checksum::checksum;
use crate::directory::manifest::{Link, ManifestFault, Written};
use crate::directory::status::{StatusFault, decode};
use crate::directory::status_file;
use crate::entry::Erasure;
use crate::error::Printable;
use crate::fs::{File, backing, owner_in};
use crate::ids::ByteOffset;
use crate::mark::Mark;
use crate::merkle::Hash;
use crate::part::{
    HeaderFault as PartFault, PART_BLOCK, PART_BLOCK_LEN, PartFrame, PartIdentity, RawPart,
    Verdict, read_header,
};
use crate::wal::frame;
use crate::wal::frame::{Frame, GROUP_HEADER_LEN, GroupEnd, GroupHeader, HeaderFault};
use crate::wal::{BLOCK, BLOCK_LEN, Position, block_align};
use crate::words::{bytes, count, leaves, span};

/// Longer files are not manifests.
const LONGEST_MANIFEST: u64 = 1 << 30;

/// After this many zero bytes the dump asks the file system where the next data is.
const LOOK_FOR_DATA: u64 = 64 << 10;

/// The apparent kind of a file.
enum Kind {
    Manifest,
    Segment,
    Part,
    Lock,
    Status,
    Unknown,
}

/// Writes the contents of the file at `path` to `out`: a manifest, a log segment, a part, the lock
/// file or the status file, in any directory. Marks damage where it occurs, and continues with the rest as far as it can be
/// read. Returns the number of damaged places.
///
/// # Errors
///
/// Fails if the file cannot be opened, if reading fails, or if `out` fails;
/// [`Unsupported`](io::ErrorKind::Unsupported) if the file, or a part of it, has another format version.
pub fn dump(path: &Path, out: &mut dyn Write) -> io::Result<u64> {
    let file = Looked::open(path)?;
    let len = file.len()?;
    let mut dump = Dump { out, damaged: 0, unknown: None };
    match kind(path, &*file, len)? {
        Kind::Manifest => dump.manifest(&*file, len)?,
        Kind::Segment => dump.segment(path, &*file, len)?,
        Kind::Part => dump.part(path, &file, len)?,
        Kind::Lock => dump.lock(&*file, len)?,
        Kind::Status => dump.status(&*file, len)?,
        Kind::Unknown => {
            dump.damage(format_args!(
                "{} not a file of a store",
                count(len, "byte that is", "bytes that are")
            ))?;
        }
    }
    match dump.unknown {
        None => Ok(dump.damaged),
        // This is not damage: another version of the program can read it.
        Some(version) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("it has format version {version}, which this program does not read"),
        )),
    }
}

fn kind(path: &Path, file: &dyn File, len: u64) -> io::Result<Kind> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let base = name.strip_suffix(".tmp").unwrap_or(&name);
    let mut magic = [0; 8];
    if len >= 8 {
        file.read_at(ByteOffset(0), &mut magic)?;
    }
    Ok(match (&magic, base.rsplit('.').next()) {
        (b"duraMAN\n", _) | (_, Some("manifest")) => Kind::Manifest,
        (b"duraWAL\n", _) | (_, Some("wal")) => Kind::Segment,
        (b"duraPRT\n", _) | (_, Some("part")) => Kind::Part,
        (_, Some("LOCK")) => Kind::Lock,
        (b"DURASTAT", _) | (_, Some("STATUS")) => Kind::Status,
        _ => Kind::Unknown,
    })
}

struct Dump<'a> {
    out: &'a mut dyn Write,
    damaged: u64,
    /// A format version that this program cannot read.
    unknown: Option<u16>,
}

impl Dump<'_> {
    fn damage(&mut self, what: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.damaged += 1;
        writeln!(self.out, "DAMAGED: {what}")
    }

    fn lock(&mut self, file: &dyn File, len: u64) -> io::Result<()> {
        write!(self.out, "lock file, {}", bytes(len))?;
        match owner_in(file)? {
            Some(owner) => writeln!(self.out, "; written by {owner}"),
            None => writeln!(self.out, "; contents unused"),
        }
    }

    fn status(&mut self, file: &dyn File, len: u64) -> io::Result<()> {
        writeln!(self.out, "status file, {}", bytes(len))?;
        let bytes = status_file::bytes_of(file)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return writeln!(self.out, "nothing was written yet");
        }
        let status = match decode(&bytes) {
            Ok(status) => status,
            Err(StatusFault::Version(version)) => {
                self.unknown = Some(u16::try_from(version).unwrap_or(u16::MAX));
                return Ok(());
            }
            Err(fault) => return self.damage(format_args!("no state can be read: {fault:?}")),
        };
        let (written, opened) = (utc(status.written), utc(status.opened));
        writeln!(self.out, "store {}, state {}", status.store, status.sequence)?;
        writeln!(self.out, "written at {written} by process {}, since {opened}", status.pid)?;
        writeln!(
            self.out,
            "{} visible, {} durable, {} in the last checkpoint",
            leaves(status.stats.leaves),
            status.stats.durable,
            status.checkpointed
        )
    }

    fn manifest(&mut self, file: &dyn File, len: u64) -> io::Result<()> {
        writeln!(self.out, "manifest, {}", bytes(len))?;
        if len > LONGEST_MANIFEST {
            return self.damage(format_args!("too long to be a manifest"));
        }
        if let Some(held) = backing::too_few(file, 0..len)? {
            return self.damage(format_args!("the disk has only {} of the file", bytes(held)));
        }
        let mut bytes = backing::zeros(len)?;
        file.read_at(ByteOffset(0), &mut bytes)?;
        let written = match Written::decode(&bytes) {
            Err(ManifestFault::Checksum { stored, computed }) => {
                self.damage(format_args!(
                    "checksum stored {stored:#018x}, computed {computed:#018x}; do not trust the following values"
                ))?;
                let end = bytes.len().saturating_sub(8);
                let sum = checksum(&bytes[..end]).to_le_bytes();
                bytes[end..].copy_from_slice(&sum);
                Written::decode(&bytes)
            }
            decoded => decoded,
        };
        match written {
            Ok(written) => self.manifest_fields(&written),
            Err(ManifestFault::Version(version)) => {
                self.unknown = Some(version);
                Ok(())
            }
            Err(fault) => self.damage(format_args!("no fields can be read: {fault}")),
        }
    }

    fn manifest_fields(&mut self, written: &Written) -> io::Result<()> {
        let Written { manifest, link } = written;
        let out = &mut self.out;
        writeln!(out, "store {}", manifest.store)?;
        writeln!(out, "number {}", manifest.number)?;
        writeln!(out, "checkpoint {}", uuid::Uuid::from_bytes(manifest.checkpoint))?;
        writeln!(out, "next segment {}, next part {}", manifest.next_segment, manifest.next_part)?;
        let end = if manifest.log.clean { "closed in order" } else { "not closed" };
        writeln!(out, "log from sequence number {}, {end}", manifest.log.seq)?;
        let place = |at: Position| {
            format!("segment {} byte {} group {}", at.segment, at.offset, at.group.0)
        };
        for extent in &manifest.log.closed {
            writeln!(out, "  closed: {} to {}", place(extent.from), place(extent.to))?;
        }
        writeln!(out, "  open: {}", place(manifest.log.open))?;
        if let Some(Link { base, checksum, gone, marks_gone }) = link {
            writeln!(out, "changes to manifest {base} with checksum {checksum:#018x}:")?;
            for id in gone {
                writeln!(out, "{} is gone", id.0)?;
            }
            for at in marks_gone {
                writeln!(out, "mark {at} of that manifest is gone")?;
            }
        }
        for tree in &manifest.trees {
            writeln!(
                out,
                "{} {}, {}{}{}, root {}",
                tree.spec.id.0,
                tree.spec,
                leaves(tree.size),
                if tree.sealed { ", sealed" } else { "" },
                if tree.indexed { ", indexed" } else { "" },
                hex(&tree.root)
            )?;
            if let Some(base) = &tree.base {
                writeln!(out, "  pruned below leaf {}, of which is left:", base.size())?;
                for node in base.frontier().nodes() {
                    writeln!(out, "    {}", hex(node))?;
                }
            }
            for part in &tree.parts {
                writeln!(
                    out,
                    "  part {}: {}, {}, checksum {:#018x}{}",
                    part.number,
                    span(part.from..part.to, "leaf", "leaves"),
                    bytes(part.len),
                    part.checksum,
                    [
                        (part.erased, ", without ", "erased entry", "erased entries"),
                        (part.hidden, ", and behind them ", "dropped leaf", "dropped leaves"),
                    ]
                    .into_iter()
                    .filter(|(number, ..)| *number > 0)
                    .map(|(number, words, one, many)| format!(
                        "{words}{}",
                        count(number, one, many)
                    ))
                    .collect::<String>()
                )?;
            }
            for Erasure { at, reason, ranges } in tree.erasures.list() {
                let (at, reason) = (utc(at), Printable::new(&reason));
                writeln!(out, "  erased at {at}, {}: {reason}", erased(&ranges))?;
            }
            for (at, leaf) in (tree.parts_end()..).zip(&tree.tail) {
                writeln!(out, "  leaf {at}: {}", hex(leaf))?;
            }
        }
        for mark in manifest.marks.iter() {
            writeln!(out, "{}", marked(mark))?;
        }
        Ok(())
    }

    fn segment(&mut self, path: &Path, file: &dyn File, len: u64) -> io::Result<()> {
        writeln!(self.out, "log segment, {}", bytes(len))?;
        if !len.is_multiple_of(BLOCK) {
            self.damage(format_args!("the length is not a multiple of {BLOCK}"))?;
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let number = name.and_then(|name| name.split('.').next()?.parse::<u64>().ok());
        let mut blank = 0;
        let mut at = 0;
        // The life of the first group. Groups with another life are remains of an earlier life, or
        // leaves that look like a group, so any bytes are possible there.
        let mut life = None;
        // Where the next group of this life would be.
        let mut next = 0;
        while at + BLOCK <= len {
            let mut block = [0; BLOCK_LEN];
            if let Err(error) = file.read_at(ByteOffset(at), &mut block) {
                self.blank(&mut blank, at)?;
                self.damage(format_args!("byte {at}: cannot be read: {error}"))?;
                at += BLOCK;
                continue;
            }
            if block == [0; BLOCK_LEN] {
                blank += BLOCK;
                next = if next == at { at + BLOCK } else { next };
                at += BLOCK;
                if at.is_multiple_of(LOOK_FOR_DATA) {
                    // The rest of a hole is skipped.
                    let data = file.data(ByteOffset(at))?.map_or(len, |data| data.start);
                    let next = at.max(data.min(len) / BLOCK * BLOCK);
                    blank += next - at;
                    at = next;
                }
                continue;
            }
            self.blank(&mut blank, at)?;
            let mut header = [0; GROUP_HEADER_LEN];
            header.copy_from_slice(&block[..GROUP_HEADER_LEN]);
            at += match GroupHeader::decode(&header) {
                Ok(header) if *life.get_or_insert(header.life) == header.life => {
                    let step = self.group(number, file, len, at, &header)?;
                    next = at + step;
                    step
                }
                Ok(header) => {
                    writeln!(
                        self.out,
                        "byte {at}: group {} of another life of the file, or leaves that look like one",
                        header.number.0
                    )?;
                    BLOCK
                }
                Err(HeaderFault::NoMagic) => {
                    writeln!(self.out, "byte {at}: not the start of a group")?;
                    BLOCK
                }
                Err(_) if at != next => {
                    writeln!(self.out, "byte {at}: not the start of a group of this life")?;
                    BLOCK
                }
                Err(HeaderFault::Version(version)) => {
                    writeln!(self.out, "byte {at}: a group of format version {version}")?;
                    self.unknown = Some(version);
                    BLOCK
                }
                Err(HeaderFault::Flags(flags)) => {
                    self.damage(format_args!("byte {at}: a group with unknown flags {flags:#x}"))?;
                    BLOCK
                }
                Err(HeaderFault::Checksum { stored, computed }) => {
                    self.damage(format_args!(
                        "byte {at}: group header: checksum stored {stored:#018x}, computed {computed:#018x}"
                    ))?;
                    BLOCK
                }
            };
        }
        self.blank(&mut blank, at)
    }

    fn blank(&mut self, blank: &mut u64, at: u64) -> io::Result<()> {
        match std::mem::take(blank) {
            0 => Ok(()),
            blank => writeln!(self.out, "byte {}: {} of zeros", at - blank, bytes(blank)),
        }
    }

    /// Prints a group. Returns the least distance to the next group.
    fn group(
        &mut self,
        number: Option<u64>,
        file: &dyn File,
        len: u64,
        at: u64,
        header: &GroupHeader,
    ) -> io::Result<u64> {
        let here = header.offset.0 == at && number.is_none_or(|number| number == header.segment.0);
        let place = match here {
            true => String::new(),
            false => format!(
                " written for segment {} byte {}: from an earlier life of the file, or misplaced",
                header.segment, header.offset
            ),
        };
        let provisional = match header.end {
            GroupEnd::Point => "",
            GroupEnd::Provisional => ", provisional",
        };
        writeln!(
            self.out,
            "byte {at}: group {}{place}{provisional}\n  store {}, {}, sequence numbers {} to {}, durable below group {}",
            header.number.0,
            header.store,
            bytes(header.len),
            header.first,
            header.last,
            header.durable.0
        )?;
        let body_len = header.len.saturating_sub(GROUP_HEADER_LEN as u64);
        if at.saturating_add(header.len) > len {
            self.damage(format_args!("byte {at}: the group ends beyond the file"))?;
            return Ok(BLOCK);
        }
        if let Some(held) = backing::too_few(file, at..at + header.len)? {
            self.damage(format_args!("byte {at}: the disk has only {} of the group", bytes(held)))?;
            return Ok(BLOCK);
        }
        let mut body = backing::zeros(body_len)?;
        if let Err(error) = file.read_at(ByteOffset(at + GROUP_HEADER_LEN as u64), &mut body) {
            self.damage(format_args!("byte {at}: the group's body cannot be read: {error}"))?;
            return Ok(BLOCK);
        }
        let computed = header.life.body_key().checksum(&body);
        if computed != header.body_checksum {
            self.damage(format_args!(
                "byte {at}: group body: checksum stored {:#018x}, computed {computed:#018x}",
                header.body_checksum
            ))?;
            return Ok(BLOCK);
        }
        match frame::frames(&body, header.frames) {
            Ok(frames) => {
                for frame in frames {
                    match frame {
                        Frame::Leaves { tree, first, leaves } => writeln!(
                            self.out,
                            "  tree {}: {}",
                            tree.0,
                            span(
                                first..first.saturating_add(leaves.len() as u64),
                                "leaf",
                                "leaves"
                            )
                        )?,
                        Frame::Entries { tree, first, leaves, entries } => writeln!(
                            self.out,
                            "  tree {}: {} with entries of {}",
                            tree.0,
                            span(
                                first..first.saturating_add(leaves.len() as u64),
                                "leaf",
                                "leaves"
                            ),
                            bytes(entries.len() as u64)
                        )?,
                        Frame::Create(spec) => {
                            writeln!(self.out, "  tree {} is created: {spec}", spec.id.0)?;
                        }
                        Frame::Begin(spec, origin) => writeln!(
                            self.out,
                            "  tree {} is created behind a frontier of {}: {spec}",
                            spec.id.0,
                            leaves(origin.size().get())
                        )?,
                        Frame::Seal { tree } => {
                            writeln!(self.out, "  tree {} is sealed", tree.0)?;
                        }
                        Frame::Index { tree } => {
                            writeln!(self.out, "  tree {} gets an index", tree.0)?;
                        }
                        Frame::Drop { tree } => {
                            writeln!(self.out, "  tree {} is dropped", tree.0)?;
                        }
                        Frame::Erase { tree, ranges, cause } => {
                            let (at, reason) = (utc(cause.time()), Printable::new(&*cause.reason));
                            let erased = erased(&ranges);
                            writeln!(
                                self.out,
                                "  tree {}: {erased} erased at {at}: {reason}",
                                tree.0
                            )?;
                        }
                        Frame::Mark(mark) => {
                            writeln!(self.out, "  {}", marked(&mark))?;
                        }
                        Frame::Rewind(sizes) => {
                            for (tree, size) in sizes {
                                writeln!(
                                    self.out,
                                    "  tree {} is rewound to {}",
                                    tree.0,
                                    leaves(size)
                                )?;
                            }
                        }
                        Frame::Unmark(name) => {
                            writeln!(self.out, "  mark {name:?} is removed")?;
                        }
                        Frame::Point => {
                            writeln!(self.out, "  the groups before end at a point")?;
                        }
                        Frame::Roll { next } => {
                            writeln!(self.out, "  the log continues in segment {next}")?;
                        }
                    }
                }
            }
            Err(fault) => self.damage(format_args!("byte {at}: frames: {fault}"))?,
        }
        Ok(block_align(header.len).max(BLOCK))
    }

    fn part(&mut self, path: &Path, file: &Arc<dyn File>, len: u64) -> io::Result<()> {
        writeln!(self.out, "part, {}", bytes(len))?;
        let mut block = [0; PART_BLOCK_LEN];
        if len < PART_BLOCK {
            return self.damage(format_args!("too short for a header"));
        }
        file.read_at(ByteOffset(0), &mut block)?;
        let identity = match read_header(&block) {
            Err(fault @ PartFault::Checksum { .. }) => {
                self.damage(format_args!("header: {fault}; do not trust the following values"))?;
                let sum = checksum(&block[..PART_BLOCK_LEN - 8]).to_le_bytes();
                block[PART_BLOCK_LEN - 8..].copy_from_slice(&sum);
                read_header(&block)
            }
            read => read,
        };
        let identity = match identity {
            Ok(identity) => identity,
            // If the checksum does not match, the version is as doubtful as the other fields.
            Err(PartFault::Version(version)) if self.damaged == 0 => {
                self.unknown = Some(version);
                return Ok(());
            }
            Err(fault) => return self.damage(format_args!("header: {fault}")),
        };
        writeln!(
            self.out,
            "store {}\npart {} of tree {}\nhasher {}, arity {}\n{}{}",
            identity.store,
            identity.number,
            identity.tree.0,
            Printable::new(&identity.hasher),
            identity.arity,
            span(identity.from..identity.to, "leaf", "leaves"),
            if identity.entries.is_some() { " with entries" } else { "" }
        )?;
        self.part_blocks(path, file, len, identity)
    }

    fn part_blocks(
        &mut self,
        path: &Path,
        file: &Arc<dyn File>,
        len: u64,
        identity: PartIdentity,
    ) -> io::Result<()> {
        let arity = identity.arity;
        let Some(part) = RawPart::of_file(path, Arc::clone(file), len, identity) else {
            return self.damage(format_args!("the range does not fit a file"));
        };
        if len != part.full_len() {
            self.damage(format_args!("{} expected, {len} found", bytes(part.full_len())))?;
        }
        if part.is_hollow() {
            let damage = part.file_damage().map(|damage| damage.to_string()).unwrap_or_default();
            return self.damage(format_args!("{damage}"));
        }
        let frame = part.frame();
        if let Some(damage) = &frame.footer {
            self.damage(format_args!("footer: {damage}"))?;
        }
        for (block, damage) in &frame.tables {
            self.damage(format_args!("block {block}, checksums: {damage}"))?;
        }
        let mut block = [0; PART_BLOCK_LEN];
        let mut level = None;
        for number in part.column_blocks().start..part.entry_blocks().start {
            let Some((found, nodes)) = part.nodes_of(number) else { continue };
            if level != Some(found) {
                level = Some(found);
                writeln!(
                    self.out,
                    "level {found}: {}, from byte {}",
                    span(part.first(found)..part.end(found), "node", "nodes"),
                    number * PART_BLOCK
                )?;
            }
            let bits = u32::from(found.0) * arity.bits();
            let leaves = span(nodes.start << bits..nodes.end << bits, "leaf", "leaves");
            if let Err(damage) = part.read(number, &mut block) {
                self.damage(format_args!("block {number}, {leaves}: {damage}"))?;
                if number * PART_BLOCK >= len {
                    break;
                }
            } else if let Verdict::Damaged { stored, computed }
            | Verdict::Doubtful { stored, computed } = frame.judge(number, &block)
            {
                self.damage(format_args!(
                    "block {number}, {leaves}: checksum stored {stored:#010x}, computed {computed:#010x}"
                ))?;
            }
        }
        if part.identity.entries.is_some() {
            self.part_entries(&part, &frame, len)?;
        }
        writeln!(
            self.out,
            "checksums in {}, footer in block {}",
            count(part.table_blocks(), "block", "blocks"),
            part.footer_block()
        )
    }

    fn part_entries(&mut self, part: &RawPart, frame: &PartFrame, len: u64) -> io::Result<()> {
        let (blocks, bundles) = (part.entry_blocks(), part.bundles());
        writeln!(
            self.out,
            "entries: {}, {}, from byte {}",
            count(bundles.end - bundles.start, "bundle", "bundles"),
            bytes(part.reference.entry_bytes),
            blocks.start * PART_BLOCK
        )?;
        let directory = part.record_blocks(bundles.start).start;
        let mut directory_is_intact = true;
        let mut bundle = bundles.start;
        let mut block = [0; PART_BLOCK_LEN];
        for number in blocks {
            let problem = match part.read(number, &mut block) {
                Err(damage) => damage.to_string(),
                Ok(()) => match frame.judge(number, &block) {
                    Verdict::Intact => continue,
                    Verdict::Damaged { stored, computed }
                    | Verdict::Doubtful { stored, computed } => {
                        format!("checksum stored {stored:#010x}, computed {computed:#010x}")
                    }
                },
            };
            let beyond = number * PART_BLOCK >= len;
            let what = if number >= directory {
                "directory of the bundles".to_owned()
            } else {
                match leaves_with_entries_in(part, number, &mut bundle).filter(|_| !beyond) {
                    Some(leaves) => format!("entries of {}", span(leaves, "leaf", "leaves")),
                    None => "entries".to_owned(),
                }
            };
            self.damage(format_args!("block {number}, {what}: {problem}"))?;
            directory_is_intact &= number < directory && !beyond;
            if beyond {
                break;
            }
        }
        if !directory_is_intact {
            return Ok(());
        }
        for number in bundles {
            if let Err(damage) = part.bundle(number) {
                let leaves = span(part.leaves_of_bundle(number), "leaf", "leaves");
                self.damage(format_args!("bundle {number}, {leaves}: {damage}"))?;
            }
        }
        Ok(())
    }
}

/// The leaves of the bundles that have bytes in `block`. `None` if the directory does not tell.
///
/// `bundle` is the bundle to begin with, and becomes the one to begin with for the next block.
fn leaves_with_entries_in(part: &RawPart, block: u64, bundle: &mut u64) -> Option<Range<u64>> {
    let end = part.bundles().end;
    while *bundle < end && part.bundle(*bundle).ok()?.blocks().end <= block {
        *bundle += 1;
    }
    let mut leaves: Option<Range<u64>> = None;
    // Every bundle has at least one byte, so a block has no more bundles than bytes.
    for number in *bundle..end.min(bundle.saturating_add(PART_BLOCK)) {
        let found = part.bundle(number).ok()?;
        if found.blocks().start > block {
            break;
        }
        let first = leaves.as_ref().map_or(found.leaves.start, |leaves| leaves.start);
        leaves = Some(first..found.leaves.end);
    }
    leaves
}

/// The name of a mark with the sizes of the first trees.
fn marked(mark: &Mark) -> String {
    const SHOWN: usize = 16;
    let shown = mark.sizes().iter().take(SHOWN);
    let shown: Vec<_> =
        shown.map(|(id, size)| format!("tree {}: {}", id.0, leaves(*size))).collect();
    let more = match mark.sizes().len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {}", count(more, "more tree", "more trees")),
    };
    format!("mark {:?} at {}{more}", mark.name, shown.join(", "))
}

/// How many entries are erased, and the first of their ranges.
fn erased(ranges: &[Range<u64>]) -> String {
    const SHOWN: usize = 16;
    let all: u64 = ranges.iter().map(|range| range.end - range.start).fold(0, u64::saturating_add);
    let shown = ranges.iter().take(SHOWN).map(|range| match range.end - range.start {
        1 => range.start.to_string(),
        _ => format!("{} to {}", range.start, range.end - 1),
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = match ranges.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {}", count(more, "more range", "more ranges")),
    };
    format!("{} ({shown}{more})", count(all, "entry", "entries"))
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
