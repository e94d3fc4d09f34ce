//! Reads every object that the store in a bucket consists of, and looks for those that nothing needs.
//!
//! # Invariants
//!
//! - Nothing is changed in the bucket.
//! - A problem counts only if the manifest under which it was found is still the newest one afterwards: a writer deletes
//!   what its next manifest does not need. Else all is read again.
//! - A listing that is late makes no problem: a name that is missing from it counts only if the object cannot be read either.

use std::collections::{BTreeSet, HashSet};

use futures_util::future::join_all;

use super::commit::{fetch, fetch_content, fetch_object, fetch_state};
use super::find::{newest_epoch, newest_manifest};
use super::sweep::list;
use super::takeover::identity;
use super::walk::{Cursor, Take};
use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::name::{Folder, Name};
use crate::objects::{Content, Digest, Epoch, Manifest, Reference, SMALL, Slot, StoreId};

/// How often all is read again because there is a newer manifest.
const RETRIES: u32 = 5;
/// Holes are not counted any more from so many problems on.
const MOST: usize = 1_000;
/// Objects that are read at a time. Each may have 32 MiB.
const AT_A_TIME: usize = 4;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked {
    pub(crate) store: StoreId,
    pub(crate) epoch: u64,
    pub(crate) manifest: Option<u64>,
    /// The sequence number of the store behind the last slot.
    pub(crate) seq: Option<u64>,
    /// Objects that were read, and their bytes.
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    /// Objects that nothing needs. The next writer deletes them.
    pub(crate) garbage: Vec<Name>,
    /// Each with the object that has it.
    pub(crate) problems: Vec<(Name, Error)>,
}

/// Reads everything. `begin` makes what judges the contents; it is called again whenever all is read again.
pub(crate) async fn check<B: Bucket, T: Take>(
    bucket: &B,
    mut begin: impl FnMut() -> T,
) -> Result<Checked> {
    let (store, origin) = identity(bucket).await?.ok_or(Error::NoStore)?;
    let mut tries = 0;
    loop {
        let (epoch, manifest) = match newest(bucket, store).await {
            Ok(newest) => newest,
            Err(error) => {
                // Nothing else can be told without it.
                let Some(name) = object_of(&error) else { return Err(error) };
                let problems = vec![(name, error)];
                return Ok(Checked { store, problems, ..Checked::default() });
            }
        };
        let mut check = Check {
            bucket,
            store,
            epoch,
            needed: HashSet::new(),
            found: Checked { store, epoch, objects: 1, ..Checked::default() },
            take: begin(),
        };
        let next = manifest.as_ref().map_or(0, |manifest| manifest.number.saturating_add(1));
        check.run(manifest, origin).await?;
        if check.found.problems.is_empty() || tries == RETRIES {
            return Ok(check.found);
        }
        let newer = fetch_object::<Manifest, B>(bucket, &Name::manifest(next), Some(store)).await;
        if !matches!(newer, Ok(Some(_))) {
            return Ok(check.found);
        }
        tries += 1;
    }
}

/// The newest epoch, or 0, and the newest manifest.
async fn newest<B: Bucket>(bucket: &B, store: StoreId) -> Result<(u64, Option<Manifest>)> {
    let epoch = newest_epoch(bucket, store).await?;
    let (number, from) = epoch.map_or((0, 0), |epoch| (epoch.epoch, epoch.manifest));
    Ok((number, newest_manifest(bucket, store, from).await?))
}

/// The object that an error is about, if the error says what that object is.
fn object_of(error: &Error) -> Option<Name> {
    match error {
        Error::Damaged { name, .. }
        | Error::Missing { name }
        | Error::UnknownFormat { name, .. } => Name::parse(name),
        _ => None,
    }
}

struct Check<'a, B, T> {
    bucket: &'a B,
    store: StoreId,
    epoch: u64,
    /// The parts, bodies and states that the manifest in force needs, with the slots behind it.
    needed: HashSet<Name>,
    found: Checked,
    take: T,
}

impl<B: Bucket, T: Take> Check<'_, B, T> {
    async fn run(&mut self, manifest: Option<Manifest>, origin: Digest) -> Result<()> {
        self.numbered(Folder::Epochs, 1, self.epoch).await?;
        self.found.manifest = manifest.as_ref().map(|manifest| manifest.number);
        let Some(manifest) = manifest else { return self.garbage(0).await };
        self.numbered(Folder::Manifests, 0, manifest.number).await?;
        self.manifest(&manifest, origin);
        if let Some(state) = &manifest.state {
            self.state(state, manifest.seq).await?;
        }
        let end = self.slots(Cursor::at_floor(&manifest)).await?;
        self.found.seq = manifest.state.is_some().then_some(end.seq);
        self.garbage(manifest.floor).await?;
        self.beyond(end.slot).await
    }

    /// Notes an error that says what an object is, and passes on one that says that the bucket does not answer.
    fn note<V>(&mut self, name: &Name, result: Result<V>) -> Result<Option<V>> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(
                error @ (Error::Damaged { .. }
                | Error::Missing { .. }
                | Error::UnknownFormat { .. }
                | Error::OtherStore { .. }
                | Error::Store(_)),
            ) => {
                self.found.problems.push((name.clone(), error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn missing(&mut self, name: Name) {
        let error = Error::Missing { name: name.to_string() };
        self.found.problems.push((name, error));
    }

    fn damaged(&mut self, name: Name, what: String) {
        let error = Error::Damaged { name: name.to_string(), what };
        self.found.problems.push((name, error));
    }

    fn read(&mut self, bytes: usize) {
        self.found.objects += 1;
        self.found.bytes += bytes as u64;
    }

    /// That the epochs or manifests from `first` to `newest` are all there and none behind them. Reads the epochs, and of the
    /// manifests those that a listing does not have.
    async fn numbered(&mut self, folder: Folder, first: u64, newest: u64) -> Result<()> {
        let bucket = self.bucket;
        let listed = list(bucket, folder).await?;
        let listed: BTreeSet<u64> = listed.iter().filter_map(Name::number).collect();
        let is_epoch = folder == Folder::Epochs;
        let name = |number| if is_epoch { Name::epoch(number) } else { Name::manifest(number) };
        for number in first..=newest {
            if self.found.problems.len() >= MOST {
                return Ok(());
            }
            if (is_epoch || !listed.contains(&number))
                && self.one_of(is_epoch, &name(number)).await? == Some(false)
            {
                self.missing(name(number));
            }
        }
        // A listing may be late, so what it has may not be there, and more may have been made meanwhile.
        for number in listed.range(newest.saturating_add(1)..).take(MOST).copied() {
            if self.one_of(is_epoch, &name(number)).await? != Some(false)
                && number > newest.saturating_add(1)
                && fetch(bucket, &name(newest.saturating_add(1)), SMALL).await?.is_none()
            {
                self.missing(name(newest.saturating_add(1)));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads an epoch or a manifest. Returns whether it is there, and `None` if it is not what it should be.
    async fn one_of(&mut self, is_epoch: bool, name: &Name) -> Result<Option<bool>> {
        let (bucket, store) = (self.bucket, Some(self.store));
        let found = if is_epoch {
            fetch_object::<Epoch, B>(bucket, name, store).await.map(|found| found.map(|all| all.1))
        } else {
            fetch_object::<Manifest, B>(bucket, name, store)
                .await
                .map(|found| found.map(|all| all.1))
        };
        let Some(found) = self.note(name, found)? else { return Ok(None) };
        if let Some(bytes) = &found {
            self.read(bytes.len());
        }
        Ok(Some(found.is_some()))
    }

    fn manifest(&mut self, manifest: &Manifest, origin: Digest) {
        let name = Name::manifest(manifest.number);
        if manifest.epoch > self.epoch {
            let what = format!("epoch {} wrote it, which does not exist", manifest.epoch);
            self.damaged(name, what);
        } else if manifest.floor == 0 && manifest.chain != origin {
            self.damaged(name, "its log does not begin at the object `store`".to_owned());
        } else if manifest.floor_epoch > manifest.epoch {
            let what = format!("it covers a slot of epoch {}", manifest.floor_epoch);
            self.damaged(name, what);
        }
    }

    /// The state, and all objects that it needs.
    async fn state(&mut self, reference: &Reference, seq: u64) -> Result<()> {
        let name = &reference.name;
        self.needed.insert(name.clone());
        let found = fetch_state(self.bucket, reference, self.store).await;
        let found =
            found.and_then(|found| found.ok_or_else(|| Error::Missing { name: name.to_string() }));
        let Some((state, bytes)) = self.note(name, found)? else { return Ok(()) };
        self.read(bytes.len());
        if !reference.fits(&bytes) {
            let what = "it is not the one that the manifest names".to_owned();
            self.damaged(name.clone(), what);
            return Ok(());
        }
        let judged = self.take.state(&state, seq);
        self.note(name, judged)?;
        for objects in state.objects.chunks(AT_A_TIME) {
            let bucket = self.bucket;
            let all: Vec<_> = objects.iter().map(|object| fetch_content(bucket, object)).collect();
            for (object, fetched) in objects.iter().zip(join_all(all).await) {
                self.needed.insert(object.name.clone());
                if let Some(bytes) = self.note(&object.name, fetched)? {
                    self.read(bytes.len());
                }
            }
        }
        Ok(())
    }

    /// The slots from `cursor` on. Returns where they end.
    async fn slots(&mut self, mut cursor: Cursor) -> Result<Cursor> {
        loop {
            let name = Name::slot(cursor.slot);
            let found = fetch_object::<Slot, B>(self.bucket, &name, Some(self.store)).await;
            // What is behind a slot that cannot be read cannot be told from what does not belong to the log.
            let Some(found) = self.note(&name, found)? else { return Ok(cursor) };
            let Some((slot, bytes)) = found else { return Ok(cursor) };
            self.read(bytes.len());
            let stepped = cursor.step(&slot, &bytes);
            if self.note(&name, stepped)?.is_none() {
                return Ok(cursor);
            }
            if slot.epoch > self.epoch {
                let what = format!("epoch {} wrote it, which does not exist", slot.epoch);
                self.damaged(name.clone(), what);
            }
            let body = match &slot.content {
                Content::Fence => None,
                Content::Inline(body) => Some(body.clone()),
                Content::Blob(blob) => {
                    self.needed.insert(blob.name.clone());
                    let fetched = fetch_content(self.bucket, blob).await;
                    let body = self.note(&blob.name, fetched)?;
                    if let Some(body) = &body {
                        self.read(body.len());
                    }
                    body
                }
            };
            if let Some(body) = body {
                let judged = self.take.records(&slot, body);
                self.note(&name, judged)?;
            }
        }
    }

    /// Lists what nothing needs, and reads the fences below `floor`.
    async fn garbage(&mut self, floor: u64) -> Result<()> {
        for folder in [Folder::Blobs, Folder::Parts, Folder::States] {
            let listed = list(self.bucket, folder).await?;
            let old = |name: &Name| name.writer().is_none_or(|writer| writer <= self.epoch);
            let unneeded =
                listed.into_iter().filter(|name| !self.needed.contains(name) && old(name));
            self.found.garbage.extend(unneeded.collect::<Vec<_>>());
        }
        for name in list(self.bucket, Folder::Slots).await? {
            if name.number().is_none_or(|slot| slot >= floor) {
                continue;
            }
            let found = fetch_object::<Slot, B>(self.bucket, &name, Some(self.store)).await;
            let Some(Some((slot, bytes))) = self.note(&name, found)? else { continue };
            self.read(bytes.len());
            if slot.content != Content::Fence {
                self.found.garbage.push(name);
            }
        }
        self.found.garbage.sort();
        Ok(())
    }

    /// That nothing is behind the end of the log.
    async fn beyond(&mut self, end: u64) -> Result<()> {
        let mut last = end;
        for name in list(self.bucket, Folder::Slots).await? {
            last = last.max(name.number().unwrap_or(0));
        }
        // A writer may have gone on meanwhile, and then the slot is there. Damage of the slot was noted before.
        let name = Name::slot(end);
        let next = fetch_object::<Slot, B>(self.bucket, &name, Some(self.store)).await;
        let is_absent = matches!(next, Ok(None));
        if let Err(error) = next
            && error.is_transient()
        {
            return Err(error);
        }
        let behind = Name::slot(last);
        if last > end && is_absent {
            let found = fetch_object::<Slot, B>(self.bucket, &behind, Some(self.store)).await;
            if self.note(&behind, found)?.flatten().is_some() {
                self.damaged(behind, format!("{name} before it is missing"));
            }
        }
        Ok(())
    }
}
