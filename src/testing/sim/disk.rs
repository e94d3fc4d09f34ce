//! The simulated disk as a file system, and the levers for tests.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::choice::CrashChoice;
use super::contents::{Contents, InodeId};
use super::fault::{Fault, FaultError, HoldId};
use super::file::{SimFile, SimLock};
use super::operation::{Operation, When};
use super::path::{Bound, ROOT, SimPath};
use super::state::{History, Shared, State};
use super::status::SimStatus;
use super::watch::SimWatch;
use crate::fs::owned::Owned;
use crate::fs::{
    Access, Dir, Displaced, Entry, File, FileKind, FileName, FileSystem, Place, StoreLock, Watch,
    Wipeable,
};

/// A disk in memory with room for one store. See the [module](super).
///
/// A clone is another handle of the same disk. The disk is a [`Place`] that always leads to itself; a
/// [`SimPath`] is one that can be led elsewhere. It is a [`FileSystem`] as well, for a test that changes
/// files behind the back of the store that it is bound to: the calls of such a handle are
/// checked for nothing.
#[derive(Clone)]
pub struct SimDisk {
    pub(super) shared: Arc<Shared>,
    /// How the store reached it; `None` for handles of tests.
    bound: Option<Arc<Bound>>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = self.operations();
        f.debug_struct("SimDisk").field("operations", &operations).finish_non_exhaustive()
    }
}

impl SimDisk {
    /// An empty disk: not even the store's directory is there.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Contents::default())
    }

    fn with(contents: Contents) -> Self {
        Self::of(Arc::new(Shared::new(contents)))
    }

    /// A disk that comes after one in this state.
    fn after(state: &State, contents: Contents) -> Self {
        let disk = Self::with(contents);
        disk.shared.lock().random = state.random;
        disk
    }

    /// Has random bytes follow from `seed`, on this disk and on those that are left of it. So stores on it do the
    /// same in every run.
    pub fn fix_random(&self, seed: u64) {
        self.shared.lock().random = Some(seed);
    }

    pub(super) fn of(shared: Arc<Shared>) -> Self {
        Self { shared, bound: None }
    }

    /// Creates the store's directories where they are missing, as [`Place::make`] does.
    ///
    /// # Errors
    ///
    /// What was injected.
    pub fn make_dirs(&self) -> io::Result<()> {
        self.shared.operate(
            |_| Ok(Operation::MakeDirs),
            |state, step| {
                state.contents.make_dirs(step.now, &mut step.chooser);
                if step.failure.is_none() {
                    state.contents.sync_dirs();
                }
                Ok(())
            },
        )
    }

    /// The disk as a store has it that found it under `path`.
    pub(super) fn bind_at(&self, path: Option<SimPath>) -> io::Result<Arc<dyn FileSystem>> {
        let mut state = self.shared.lock();
        state.running()?;
        state.contents.has_dir(Dir::Root)?;
        let bound = Bound::new(path, &mut state);
        drop(state);
        Ok(Arc::new(Self { shared: Arc::clone(&self.shared), bound: Some(Arc::new(bound)) }))
    }

    /// Fails if this is a store's handle and the store must not change names now, or not `name`.
    fn check(&self, state: &State, name: Option<FileName>) -> io::Result<()> {
        let Some(bound) = &self.bound else { return Ok(()) };
        bound.check(&self.shared, state)?;
        name.map_or(Ok(()), |name| self.check_owned(state, name))
    }

    fn check_owned(&self, state: &State, name: FileName) -> io::Result<()> {
        let holder = self.bound.as_ref().and_then(|bound| bound.holder(state));
        let Some(holder) = holder else { return Ok(()) };
        // The call that follows finds out that there is none.
        let Ok(found) = state.contents.find(name) else { return Ok(()) };
        holder.owned.check(name, found).map_err(|how| Displaced::error(self.display(name), how))
    }

    /// Notes a change of the store's own names, made by the store.
    fn change_owned(&self, state: &mut State, change: impl FnOnce(&mut Owned<InodeId>)) {
        if let Some(holder) = self.bound.as_ref().and_then(|bound| bound.holder_mut(state)) {
            change(&mut holder.owned);
        }
    }

    /// How many operations there were so far, counting those that failed.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.shared.lock().operations()
    }

    /// All operations so far: number 1 stands first. Two runs that do the same have the same trace.
    #[must_use]
    pub fn trace(&self) -> Vec<Operation> {
        self.shared.lock().trace.clone()
    }

    /// Lets the disk do operation `last` and nothing after it: every call fails then, reads too. `0`
    /// lets it do nothing. An operation with a higher number that is being held fails on its release.
    pub fn stop_after(&self, last: u64) {
        self.shared.lock().stop_after = Some(last);
    }

    /// Keeps what is on the disk as each operation begins from now on, for
    /// [`crash_at`](Self::crash_at). What does not change in between is kept once.
    pub fn record(&self) {
        let mut state = self.shared.lock();
        if state.history.is_none() {
            state.history = Some(History { first: state.operations(), contents: Vec::new() });
        }
    }

    /// The disk after a power cut at this moment: what was synced, and of the rest what `choice`
    /// keeps. This disk goes on unharmed, so that one moment can be cut in many ways.
    ///
    /// The new disk counts from nought and has no faults, no limit and no lock.
    #[must_use]
    pub fn crash(&self, choice: CrashChoice) -> Self {
        let state = self.shared.lock();
        Self::after(&state, state.contents.after_crash(choice))
    }

    /// The disk after a power cut when `operations` of them had been done and the next one had not
    /// begun; `None` if that was before [`record`](Self::record) or has not happened yet.
    #[must_use]
    pub fn crash_at(&self, operations: u64, choice: CrashChoice) -> Option<Self> {
        let state = self.shared.lock();
        let contents = if operations == state.operations() {
            &state.contents
        } else {
            state.history.as_ref()?.at(operations)?
        };
        Some(Self::after(&state, contents.after_crash(choice)))
    }

    /// The disk after the process was killed at this moment and the power stayed on: what was written
    /// is there, synced or not, and can still be lost. This disk goes on unharmed.
    ///
    /// The new disk counts from nought and has no faults, no limit and no lock.
    #[must_use]
    pub fn kill(&self) -> Self {
        let state = self.shared.lock();
        let disk = Self::after(&state, state.contents.clone());
        {
            let mut new = disk.shared.lock();
            new.continue_clock_of(&state);
            new.sweep();
        }
        disk
    }

    /// Lets an operation fail.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().faults.inject(fault);
    }

    /// Lets every read and mapping fail that touches these bytes of the file of this name.
    pub fn fail_reads(&self, file: FileName, range: Range<u64>, error: impl Into<FaultError>) {
        self.shared.lock().faults.inject_read(file, range, error.into());
    }

    /// Takes back all faults of operations and reads that were injected. What they did stays.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Limits what all files together may take, in bytes; `None` for no limit. A file takes its length
    /// in whole sectors. On a full disk a write is done as far as there is room.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.shared.lock().space = bytes;
    }

    /// How many bytes the files take.
    #[must_use]
    pub fn used_space(&self) -> u64 {
        self.shared.lock().contents.used()
    }

    /// Makes one operation wait, before it has any effect, until the returned guard is dropped. Other
    /// threads go on meanwhile. A sync that is held covers what was written before it was called.
    #[must_use = "dropping it releases the operation"]
    pub fn hold(&self, when: When) -> Hold {
        let id = self.shared.lock().faults.hold(when);
        Hold { shared: Arc::clone(&self.shared), id }
    }

    /// Makes each read of files of this kind wait until the returned guard is dropped. Reads of mappings do not wait. There
    /// is one such guard at a time.
    #[must_use = "dropping it releases the reads"]
    pub fn hold_reads(&self, kind: FileKind) -> HeldReads {
        self.shared.lock().faults.hold_reads(kind);
        HeldReads { shared: Arc::clone(&self.shared) }
    }
}

/// Makes reads wait while it lives. Made by [`SimDisk::hold_reads`].
pub struct HeldReads {
    shared: Arc<Shared>,
}

impl HeldReads {
    /// How many reads wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.lock().faults.waiting_reads()
    }

    /// Lets the reads go on, as dropping does.
    pub fn release(self) {}
}

impl fmt::Debug for HeldReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldReads").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Drop for HeldReads {
    fn drop(&mut self) {
        self.shared.lock().faults.release_reads();
        self.shared.notify();
    }
}

/// Makes an operation wait while it lives. Made by [`SimDisk::hold`].
pub struct Hold {
    shared: Arc<Shared>,
    id: HoldId,
}

impl Hold {
    /// Whether the operation is there and waits.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.shared.lock().faults.reached(self.id)
    }

    /// Blocks until the operation is there and waits; for ever if it never comes.
    pub fn wait_reached(&self) {
        self.shared.wait(|state| state.faults.reached(self.id));
    }

    /// Lets the operation go on, as dropping does.
    pub fn release(self) {}
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.lock().faults.release(self.id);
        self.shared.notify();
    }
}

impl Place for SimDisk {
    fn bind(&self) -> io::Result<Arc<dyn FileSystem>> {
        self.bind_at(None)
    }

    fn make(&self) -> io::Result<Arc<dyn FileSystem>> {
        self.make_dirs()?;
        self.bind()
    }
}

impl FileSystem for SimDisk {
    fn display(&self, file: FileName) -> PathBuf {
        PathBuf::from(ROOT).join(file.dir().path()).join(file.base())
    }

    fn check_place(&self) -> io::Result<()> {
        let state = self.shared.lock();
        state.running()?;
        self.bound.as_ref().map_or(Ok(()), |bound| bound.check(&self.shared, &state))
    }

    fn check_file(&self, name: FileName) -> io::Result<()> {
        let state = self.shared.lock();
        state.running()?;
        self.bound.as_ref().map_or(Ok(()), |bound| bound.check_file(&state, name))
    }

    fn list(&self, dir: Dir) -> io::Result<Vec<Entry>> {
        let state = self.shared.lock();
        state.running()?;
        Ok(state.contents.list(dir))
    }

    fn create(&self, name: FileName) -> io::Result<Arc<dyn File>> {
        let id = self.shared.operate(
            |_| Ok(Operation::Create(name)),
            |state, step| {
                self.check(state, None)?;
                step.happens()?;
                let id = state.contents.create(step.now, name)?;
                if step.failure.is_none() {
                    state.opened(id);
                }
                self.change_owned(state, |owned| owned.made(name, id));
                Ok(id)
            },
        )?;
        Ok(Arc::new(SimFile::new(Arc::clone(&self.shared), id, Access::ReadWrite)))
    }

    fn open(&self, name: FileName, access: Access) -> io::Result<Arc<dyn File>> {
        let mut state = self.shared.lock();
        state.running()?;
        let id = state.contents.find(name)?;
        if access == Access::ReadWrite {
            self.check_owned(&state, name)?;
        }
        if access == Access::Read && name.kind == FileKind::Part && state.wiping(id) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.opened(id);
        let file = SimFile::new(Arc::clone(&self.shared), id, access);
        Ok(Arc::new(match name.kind {
            FileKind::Part if access == Access::Read => file.sharing(&mut state),
            _ => file,
        }))
    }

    fn random(&self, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.shared.lock();
        let Some(seed) = &mut state.random else {
            return getrandom::fill(out).map_err(io::Error::from);
        };
        for bytes in out.chunks_mut(8) {
            // SplitMix64.
            *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut next = *seed;
            next = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            next = (next ^ (next >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            next ^= next >> 31;
            bytes.copy_from_slice(&next.to_le_bytes()[..bytes.len()]);
        }
        Ok(())
    }

    fn open_to_wipe(&self, name: FileName) -> io::Result<Wipeable> {
        let mut state = self.shared.lock();
        state.running()?;
        let id = state.contents.find(name)?;
        self.check(&state, Some(name))?;
        if state.is_shared(id) {
            let len = state.contents.file(id)?.cache().len();
            return Ok(Wipeable::InUse { len });
        }
        state.opened(id);
        let file = SimFile::new(Arc::clone(&self.shared), id, Access::ReadWrite);
        Ok(Wipeable::Alone(Arc::new(file.wiping(&mut state))))
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        self.shared.operate(
            |_| Ok(Operation::Rename { from, to }),
            |state, step| {
                self.check(state, Some(from))?;
                step.happens()?;
                state.contents.rename(step.now, from, to)?;
                self.change_owned(state, |owned| {
                    if let Some(own) = owned.given_up(from) {
                        owned.made(to, own);
                    }
                });
                Ok(())
            },
        )
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        let own = Cell::new(None);
        self.shared.operate(
            |state| {
                self.check(state, Some(name))?;
                // As on a real disk the name is not the store's any more while the call runs.
                self.change_owned(state, |owned| own.set(owned.given_up(name)));
                Ok(Operation::Remove(name))
            },
            |state, step| {
                let removed = step.happens().and_then(|()| {
                    self.check(state, None)?;
                    state.contents.remove(step.now, name)
                });
                if let Some(own) = own.get()
                    && removed.is_err()
                    && state.contents.find(name).is_ok_and(|found| found == own)
                {
                    self.change_owned(state, |owned| owned.made(name, own));
                }
                state.sweep();
                removed
            },
        )
    }

    fn sync_dir(&self, dir: Dir) -> io::Result<()> {
        self.shared.operate(
            |_| Ok(Operation::SyncDir(dir)),
            |state, step| {
                state.contents.has_dir(dir)?;
                state.contents.settle_dir(dir, step.begun, &mut step.chooser);
                state.sweep();
                Ok(())
            },
        )
    }

    fn watch(&self) -> io::Result<Arc<dyn Watch>> {
        Ok(Arc::new(SimWatch::new(Arc::clone(&self.shared))))
    }

    fn is_locked(&self) -> io::Result<bool> {
        let state = self.shared.lock();
        state.running()?;
        Ok(state.locked)
    }

    fn status_file(&self, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(SimStatus::open(&self.shared, access)?))
    }

    fn lock(&self) -> io::Result<Box<dyn StoreLock>> {
        let mut state = self.shared.lock();
        state.running()?;
        state.contents.has_dir(Dir::Root)?;
        if state.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(bound) = &self.bound {
            bound.hold(&mut state);
            bound.check(&self.shared, &state)?;
        }
        state.locked = true;
        Ok(Box::new(SimLock::new(Arc::clone(&self.shared))))
    }
}
