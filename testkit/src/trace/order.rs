//! Whether calls came in an order in which every promise was true when it was made.
//!
//! It follows what is durable of files and names, as far as the system promises it and no further: a sync
//! covers what had ended when it began, a file's sync says nothing of its name. Leaves are found by their
//! bytes, in the log and in parts, so that nothing of the formats has to be known.
//!
//! # Rules
//!
//! 1. A leaf is acknowledged after the sync of the segment that holds it, with the segment's name, all
//!    directories, and all of the log before it, durable.
//! 2. A name is given to a part or a manifest after the sync of its bytes.
//! 3. A manifest is named when everything that it can name is durable under its name: parts, and, before
//!    the process has written to the log, segments. It is durable before the process first writes there.
//! 4. A segment is removed, cut or renamed when its leaves are in parts that a durable manifest names; a
//!    part when another one has its leaves; a manifest when a newer one is durable.
//! 5. A directory is made when the name of the one around it is durable.
//! 6. After a failed sync of a segment nothing more is written to it, and no part of the log to any other
//!    segment if the log had come to it. A name whose sync failed is never durable, whatever succeeds later.
//!    After a failed sync of the directory of segments the log is not written to any more, but for the one
//!    write that another thread may have begun meanwhile.
//! 7. What is said last is said when everything is durable.
//! 8. No file is mapped to be written to. The program writes by calls alone, and so neither the stores of
//!    mapped memory nor msync are followed: a mapping that could change a file is wrong by itself. A mapping
//!    to be read that mprotect makes one to be written to is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::calls::{Call, What};

/// A leaf that can be found by its bytes.
pub fn leaf(index: u64) -> [u8; 32] {
    let mut leaf = [b'.'; 32];
    leaf[..12].copy_from_slice(MARK);
    leaf[12..].copy_from_slice(format!("{index:020}").as_bytes());
    leaf
}

const MARK: &[u8; 12] = b"traced leaf ";

/// The leaves that stand in `bytes`.
fn leaves_in(bytes: &[u8]) -> BTreeSet<u64> {
    let found = bytes.windows(32).filter(|window| window.starts_with(MARK));
    found.filter_map(|leaf| str::from_utf8(&leaf[12..]).ok()?.parse().ok()).collect()
}

/// What a line says that the process has written to the file where it says things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// The leaf with this index is durable.
    Leaf(u64),
    /// So many leaves are durable: `durable N`.
    Durable(u64),
    /// So many leaves are in parts that a durable manifest names: `archived N`.
    Archived(u64),
    /// Everything is durable.
    Everything,
}

impl Promise {
    fn of(line: &str) -> Self {
        let count = |word| line.strip_prefix(word).and_then(|number: &str| number.parse().ok());
        if let Ok(index) = line.parse() {
            Self::Leaf(index)
        } else if let Some(count) = count("durable ") {
            Self::Durable(count)
        } else if let Some(count) = count("archived ") {
            Self::Archived(count)
        } else {
            Self::Everything
        }
    }
}

/// What was seen. A run in which nothing happened proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub promises: u64,
    /// Leaves that were promised.
    pub leaves: u64,
    pub dirs: u64,
    pub manifests: u64,
    pub parts: u64,
    /// Segments that were reused.
    pub recycled: u64,
    /// Segments, parts and manifests that were removed.
    pub removed: u64,
}

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Whatever lies elsewhere does not count.
    pub place: PathBuf,
    /// The store's directory, in the place.
    pub store: PathBuf,
    /// The file to which the process says what it promises.
    pub said: PathBuf,
    /// What was there before and may not have a durable name.
    pub uncertain: Vec<PathBuf>,
}

/// Goes through the calls; what is wrong with them, in sentences.
pub fn check(subject: &Subject, calls: &[Call]) -> (Seen, Vec<String>) {
    let mut disk = Disk::new(subject.clone());
    for path in &subject.uncertain {
        let thing = disk.thing(path.is_dir());
        disk.names.insert(path.clone(), Name { thing, since: 0, doubtful: false, durable: None });
    }
    let mut events: Vec<(u64, bool, &Call)> = Vec::new();
    for call in calls {
        events.push((call.begun, false, call));
        events.extend(call.ended.map(|ended| (ended, true, call)));
    }
    // Of one line's call the beginning comes first.
    events.sort_by_key(|(moment, ended, call)| (*moment, *ended, call.begun));
    for (moment, ended, call) in events {
        disk.now = moment;
        if ended { disk.end(call) } else { disk.begin(call) }
    }
    (disk.seen, disk.wrong)
}

/// A file or a directory, whatever its names.
type Id = usize;

#[derive(Clone, Copy, Debug)]
struct Name {
    thing: Id,
    since: u64,
    /// Whether a sync of it failed.
    doubtful: bool,
    /// When it was known to be durable.
    durable: Option<u64>,
}

/// A change of a file's bytes.
#[derive(Clone, Copy, Debug)]
struct Change {
    begun: u64,
    ended: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Thing {
    is_dir: bool,
    unsynced: Vec<Change>,
    /// Whether the log has released it.
    gone: bool,
    /// Whether a sync of it failed.
    doubtful: bool,
    /// By leaf, the beginning of the write that carried it.
    leaves: BTreeMap<u64, u64>,
    /// Where the write ends that each of them came with.
    ends: BTreeMap<u64, u64>,
}

/// A manifest that got its name.
#[derive(Clone, Debug)]
struct Published {
    /// When its rename began.
    begun: u64,
    path: PathBuf,
    durable: bool,
}

struct Disk {
    subject: Subject,
    now: u64,
    things: Vec<Thing>,
    names: BTreeMap<PathBuf, Name>,
    manifests: Vec<Published>,
    /// Leaves below this one were durable once.
    sure: u64,
    said: String,
    /// When the process that runs began.
    started: u64,
    /// Whether it has written a leaf to the log.
    wrote_log: bool,
    log_failed: bool,
    /// Whether a sync of the directory of segments failed, and no write followed yet.
    wal_failed: bool,
    seen: Seen,
    wrong: Vec<String>,
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "wal")
}

fn is_part(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "part")
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "manifest")
}

impl Disk {
    fn new(subject: Subject) -> Self {
        Self {
            subject,
            now: 0,
            things: Vec::new(),
            names: BTreeMap::new(),
            manifests: Vec::new(),
            sure: 0,
            said: String::new(),
            started: 0,
            wrote_log: false,
            log_failed: false,
            wal_failed: false,
            seen: Seen::default(),
            wrong: Vec::new(),
        }
    }

    fn thing(&mut self, is_dir: bool) -> Id {
        self.things.push(Thing { is_dir, ..Thing::default() });
        self.things.len() - 1
    }

    fn is_watched(&self, path: &Path) -> bool {
        path.starts_with(&self.subject.place)
            && path != self.subject.said
            // The lock and the status are nothing to find again.
            && path.file_name().is_none_or(|name| name != "LOCK" && name != "STATUS")
    }

    fn find(&self, path: &Path) -> Option<Id> {
        self.names.get(path).map(|name| name.thing)
    }

    /// The file of this name, one that was there before if it has not been seen yet.
    fn file(&mut self, path: &Path) -> Id {
        if let Some(id) = self.find(path) {
            return id;
        }
        let thing = self.thing(false);
        self.names
            .insert(path.to_owned(), Name { thing, since: 0, doubtful: false, durable: Some(0) });
        thing
    }

    fn fail(&mut self, what: impl std::fmt::Display) {
        let line = self.now;
        self.wrong.push(format!("line {line}: {what}"));
    }

    fn begin(&mut self, call: &Call) {
        match &call.what {
            What::Start => {
                self.started = self.now;
                self.wrote_log = false;
                self.log_failed = false;
                self.wal_failed = false;
                self.said.clear();
            }
            What::Write(path, bytes) | What::WriteUpTo(path, bytes, _)
                if *path == self.subject.said =>
            {
                self.said.push_str(&String::from_utf8_lossy(bytes));
                while let Some((line, rest)) = self.said.split_once('\n') {
                    let (line, rest) = (line.to_owned(), rest.to_owned());
                    self.said = rest;
                    self.promise(&line);
                }
            }
            What::MakeDir(path) if self.is_watched(path) => {
                if let Some(around) = path.parent()
                    && self.names.get(around).is_some_and(|name| name.durable.is_none())
                    && !self.subject.uncertain.iter().any(|known| known == around)
                {
                    let around = around.display();
                    self.fail(format!(
                        "{} is made, the name of {around} is not durable",
                        path.display()
                    ));
                }
            }
            What::Write(path, bytes) | What::WriteUpTo(path, bytes, _) if self.is_watched(path) => {
                let id = self.file(path);
                let found = leaves_in(bytes);
                let end = match &call.what {
                    What::WriteUpTo(_, _, end) => *end,
                    _ => u64::MAX,
                };
                self.things[id].ends.extend(found.iter().map(|leaf| (*leaf, end)));
                if is_segment(path) && path.starts_with(&self.subject.store) && !found.is_empty() {
                    self.first_leaf();
                }
                // A worker may be filling a new segment with zeros.
                let of_log = !found.is_empty() || !self.things[id].leaves.is_empty();
                let failed = self.things[id].doubtful || (self.log_failed && of_log);
                if is_segment(path) && failed {
                    self.fail(format!("{} is written to after a sync failed", path.display()));
                }
                // A group may be under way when a worker's sync fails. It is the last.
                if is_segment(path) && of_log && std::mem::take(&mut self.wal_failed) {
                    self.log_failed = true;
                }
                let begun = call.begun;
                self.things[id].leaves.extend(found.into_iter().map(|leaf| (leaf, begun)));
                self.things[id].unsynced.push(Change { begun, ended: None });
            }
            What::Resize(path) if self.is_watched(path) => self.change(path, call),
            // One that is not known is made by the same call.
            What::Cut(path) if self.find(path).is_some() => {
                self.let_go(path, "cut");
                self.change(path, call);
            }
            // What stays was synced, or will be: that the file is shorter changes nothing of it.
            What::CutTo(path, len) if self.find(path).is_some() && !self.keeps_all(path, *len) => {
                self.let_go(path, "cut");
                self.change(path, call);
            }
            What::Rename(from, to) if self.is_watched(from) => {
                if is_part(to) || is_manifest(to) {
                    let synced =
                        self.find(from).is_none_or(|id| self.things[id].unsynced.is_empty());
                    if !synced {
                        self.fail(format!("{} gets its name before it is synced", to.display()));
                    }
                }
                if is_manifest(to) {
                    self.publish(to);
                }
                self.let_go(from, "given another name");
            }
            What::Remove(path) if self.is_watched(path) => self.let_go(path, "removed"),
            What::MapToWrite(path) if self.is_watched(path) => {
                self.fail(format!("{} is mapped to be written to", path.display()));
            }
            _ => {}
        }
    }

    fn end(&mut self, call: &Call) {
        let now = self.now;
        let fresh = |thing| Name { thing, since: now, doubtful: false, durable: None };
        match &call.what {
            What::Sync(path) if !call.succeeded => {
                if let Some(id) = self.find(path).filter(|_| is_segment(path)) {
                    self.things[id].doubtful = true;
                    self.log_failed |= !self.things[id].leaves.is_empty();
                }
                self.wal_failed |= *path == self.subject.store.join("wal");
                let here = |(at, _): &(&PathBuf, &mut Name)| at.parent() == Some(path);
                for (_, name) in self.names.iter_mut().filter(here) {
                    name.doubtful |= name.durable.is_none();
                }
            }
            // It may have been done in part.
            What::Write(path, _)
            | What::WriteUpTo(path, ..)
            | What::Resize(path)
            | What::Cut(path)
            | What::CutTo(path, _) => {
                if let Some(id) = self.find(path) {
                    let same = |change: &&mut Change| change.begun == call.begun;
                    for change in self.things[id].unsynced.iter_mut().filter(same) {
                        change.ended = Some(now);
                    }
                }
            }
            _ if !call.succeeded => {}
            What::MakeDir(path) if self.is_watched(path) => {
                self.seen.dirs += 1;
                let thing = self.thing(true);
                self.names.insert(path.clone(), fresh(thing));
            }
            What::Create(path) if self.is_watched(path) && self.find(path).is_none() => {
                let thing = self.thing(false);
                self.names.insert(path.clone(), fresh(thing));
            }
            What::Rename(from, to) if self.is_watched(from) => {
                let id = self.file(from);
                self.names.remove(from);
                self.names.insert(to.clone(), fresh(id));
                self.seen.parts += u64::from(is_part(to));
                if is_manifest(to) {
                    self.seen.manifests += 1;
                    let path = to.clone();
                    self.manifests.push(Published { begun: call.begun, path, durable: false });
                }
                if is_segment(from) {
                    self.seen.recycled += 1;
                    self.things[id].leaves.clear();
                    self.things[id].gone = false;
                }
            }
            What::Link(from, to) if self.is_watched(to) => {
                let id = self.file(from);
                self.names.insert(to.clone(), fresh(id));
            }
            What::Remove(path) if self.is_watched(path) => {
                let counts = is_part(path) || is_manifest(path) || is_segment(path);
                self.seen.removed += u64::from(counts);
                self.names.remove(path);
            }
            What::Sync(path) => {
                let covered = |ended: u64| ended < call.begun;
                if let Some(id) = self.find(path).filter(|id| !self.things[*id].is_dir) {
                    self.things[id].unsynced.retain(|change| !change.ended.is_some_and(covered));
                }
                for (_, name) in self.names.iter_mut().filter(|(at, _)| at.parent() == Some(path)) {
                    if covered(name.since) && !name.doubtful {
                        name.durable.get_or_insert(now);
                    }
                }
                for manifest in &mut self.manifests {
                    let name = self.names.get(&manifest.path);
                    manifest.durable |= name.is_some_and(|name| name.durable.is_some());
                }
            }
            _ => {}
        }
    }

    /// The process is about to write a leaf to the log.
    fn first_leaf(&mut self) {
        if std::mem::replace(&mut self.wrote_log, true) {
            return;
        }
        let store = self.subject.store.clone();
        let named = |manifest: &&Published| manifest.path.starts_with(&store) && !manifest.durable;
        if let Some(manifest) = self.manifests.iter().find(named) {
            let name = manifest.path.display().to_string();
            self.fail(format!("the log is written to, the name of {name} is not durable"));
        }
    }

    fn change(&mut self, path: &Path, call: &Call) {
        let id = self.file(path);
        self.things[id].unsynced.push(Change { begun: call.begun, ended: None });
    }

    /// Whether the name and those of all directories above are durable.
    fn is_named(&self, path: &Path) -> bool {
        path.ancestors().all(|at| self.names.get(at).is_none_or(|name| name.durable.is_some()))
    }

    /// Whether the write that began then is durable.
    fn is_synced(&self, id: Id, begun: u64) -> bool {
        !self.things[id].unsynced.iter().any(|change| change.begun == begun)
    }

    /// Whether a durable part of `store` that a durable manifest can name holds the leaf, another than
    /// `but`.
    fn is_archived(&self, store: &Path, leaf: u64, but: Option<&Path>) -> bool {
        let parts = self.names.iter().filter(|(path, _)| is_part(path) && path.starts_with(store));
        let mut holding = parts.filter(|(path, name)| {
            let write = self.things[name.thing].leaves.get(&leaf);
            Some(&***path) != but
                && write.is_some_and(|begun| self.is_synced(name.thing, *begun))
                && self.is_named(path)
        });
        holding.any(|(_, name)| {
            self.manifests.iter().any(|manifest| {
                let later = name.durable.is_some_and(|durable| durable < manifest.begun);
                later && manifest.durable && manifest.path.starts_with(store)
            })
        })
    }

    /// Why a leaf is not durable; nothing if it is.
    fn doubt(&self, leaf: u64) -> Option<String> {
        let store = &self.subject.store;
        if self.is_archived(store, leaf, None) {
            return None;
        }
        let segments =
            || self.names.iter().filter(|(path, _)| is_segment(path) && path.starts_with(store));
        let mut doubt = format!("leaf {leaf} was never written");
        for (path, name) in segments() {
            let Some(begun) = self.things[name.thing].leaves.get(&leaf) else { continue };
            let torn = segments().find(|(_, name)| {
                let thing = &self.things[name.thing];
                let of_log = !thing.leaves.is_empty() && !thing.gone;
                of_log && thing.unsynced.iter().any(|change| change.begun < *begun)
            });
            doubt = if !self.is_synced(name.thing, *begun) {
                format!("leaf {leaf}: {} is not synced", path.display())
            } else if !self.is_named(path) {
                let path = path.display();
                format!("leaf {leaf}: the name of {path} or of a directory above is not durable")
            } else if let Some((torn, _)) = torn {
                let torn = torn.display();
                format!("leaf {leaf}: {torn}, which the log comes from, is not synced")
            } else {
                return None;
            };
        }
        Some(doubt)
    }

    fn promise(&mut self, line: &str) {
        self.seen.promises += 1;
        let count = match Promise::of(line) {
            Promise::Leaf(index) => index + 1,
            Promise::Durable(count) => count,
            Promise::Archived(count) => {
                let store = &self.subject.store;
                let lost = (0..count).find(|leaf| !self.is_archived(store, *leaf, None));
                if let Some(leaf) = lost {
                    self.fail(format!("{line:?} is said, but leaf {leaf} is in no durable part"));
                }
                count
            }
            Promise::Everything => {
                self.everything(line);
                0
            }
        };
        while self.sure < count {
            if let Some(doubt) = self.doubt(self.sure) {
                return self.fail(format!("{line:?} is said, but {doubt}"));
            }
            self.sure += 1;
            self.seen.leaves += 1;
        }
    }

    fn everything(&mut self, line: &str) {
        let mut wrong = Vec::new();
        for (path, name) in &self.names {
            if name.durable.is_none() {
                wrong.push(format!("the name of {} is not durable", path.display()));
            }
            if !self.things[name.thing].unsynced.is_empty() {
                wrong.push(format!("{} is not synced", path.display()));
            }
        }
        for what in wrong {
            self.fail(format!("{line:?} is said, but {what}"));
        }
    }

    /// A manifest is about to get its name.
    fn publish(&mut self, manifest: &Path) {
        let Some(store) = manifest.parent().and_then(Path::parent) else { return };
        let mut wrong = Vec::new();
        for (path, name) in self.names.iter().filter(|(path, _)| path.starts_with(store)) {
            let thing = &self.things[name.thing];
            let durable = thing.unsynced.is_empty() && self.is_named(path);
            let alone = |leaf: &u64| !self.is_archived(store, *leaf, None);
            // A merge runs beside: what it makes is needed by nothing while its inputs are there.
            let of_parts = is_part(path) && thing.leaves.keys().any(alone);
            // So does a worker that makes segments ready, from the first group on. What a killed process
            // has left is not used before it is made durable.
            let busy = self.wrote_log && *store == self.subject.store;
            let new = name.since >= self.started || thing.leaves.keys().any(alone);
            let of_log = is_segment(path) && !busy && new;
            if !durable && (of_parts || of_log) {
                let (path, manifest) = (path.display(), manifest.display());
                wrong.push(format!("{manifest} gets its name, {path} is not durable"));
            }
        }
        wrong.into_iter().for_each(|what| self.fail(what));
    }

    /// Whether all leaves of a file stand in its first `len` bytes.
    fn keeps_all(&self, path: &Path, len: u64) -> bool {
        let Some(name) = self.names.get(path) else { return false };
        let thing = &self.things[name.thing];
        let stays = |leaf: &u64| thing.ends.get(leaf).is_some_and(|end| *end <= len);
        !thing.leaves.is_empty() && thing.leaves.keys().all(stays)
    }

    /// The name of a file, or bytes in it, are about to go.
    fn let_go(&mut self, path: &Path, how: &str) {
        let Some(name) = self.names.get(path) else { return };
        let Some(store) = path.parent().and_then(Path::parent) else { return };
        let how = format!("{} is {how}", path.display());
        if is_manifest(path) {
            let own = self.manifests.iter().rposition(|manifest| manifest.path == path);
            let newer = &self.manifests[own.map_or(0, |own| own + 1)..];
            if !newer.iter().any(|manifest| manifest.durable) {
                self.fail(format!("{how}, no newer manifest is durable"));
            }
            return;
        }
        let after = |manifest: &Published| manifest.begun > name.since;
        let published = is_part(path) && self.manifests.iter().any(after);
        if !is_segment(path) && !published {
            return;
        }
        let thing = name.thing;
        self.things[thing].gone = true;
        let leaves: Vec<_> = self.things[thing].leaves.keys().copied().collect();
        let lost = |leaf: &u64| !self.is_archived(store, *leaf, Some(path));
        if let Some(leaf) = leaves.into_iter().find(lost) {
            self.fail(format!("{how}, and leaf {leaf} is in no other durable part"));
        }
    }
}
