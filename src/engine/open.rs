//! Opens a store: creates it, or recovers what is durable.
//!
//! # Invariants
//!
//! - The open changes nothing before it has read the manifest and found everything that it names intact.
//! - The open recycles and removes nothing before this process has made a manifest durable. The manifest that
//!   it read may be visible and not durable, because its publication failed. After a power cut the manifest
//!   before it is then in force again, and needs its files.
//! - What the store shows is durable: after a power cut at any later moment the next open finds at least that.
//! - Threads are started last, when no other step can fail any more.

use std::sync::Arc;
use std::time::Instant;

use super::background::Background;
use super::catalog::{Catalog, Wanted};
use super::gate::Gate;
use super::ingest::Inflow;
use super::keeper::Keeper;
use super::limits::Limits;
use super::log::{Flushed, Flusher, LogSide, LogSource};
use super::opened::{Admitted, Opened, loader};
use super::recover;
use super::settings::Settings;
use super::shared::Engine;
use super::status_file::StatusFile;
use crate::config::Config;
use crate::directory;
use crate::directory::manifest::Manifest;
use crate::directory::manifests;
use crate::error::{Damage, Error, Printable, Result};
use crate::fs::{FileName, FileSystem, StoreLock};
use crate::hashers::Hashers;
use crate::report::Event;
use crate::sync;
use crate::sync::{JoinHandle, Mutex};

/// Opens the store that `config` describes, or creates it, with the tree `first` if there is one. Fails and
/// changes nothing if the store has a different tree with the name of `first`.
pub(crate) fn open(
    config: &Config,
    first: Option<&Wanted>,
) -> Result<(Arc<Engine>, JoinHandle<()>)> {
    config.listeners.tell(|| Event::RecoveryBegun { path: config.path.clone() });
    let opened = open_store(config, first);
    config.listeners.tell(|| match &opened {
        Ok((engine, _)) => Event::RecoveryCompleted { report: engine.report.clone() },
        Err(error) => Event::RecoveryFailed { error: error.clone() },
    });
    opened
}

fn open_store(config: &Config, first: Option<&Wanted>) -> Result<(Arc<Engine>, JoinHandle<()>)> {
    let started = Instant::now();
    let _span = tracing::debug_span!("open", path = %Printable::new(&config.path)).entered();
    let fs = find(config)?;
    let lock = directory::lock(&*fs, &config.path)?;
    let given = first.map(|wanted| Arc::clone(&wanted.hasher));
    let hashers = Hashers::new(given.into_iter().chain(config.hashers.iter().cloned()));
    // Reads the directory again: it may have changed before the lock was held.
    let mut opened = match directory::newest_number(&*fs, &config.path)? {
        Some(number) => {
            let stored = manifests::read(&*fs, number)?;
            check_numbers(&*fs, &stored.manifest)?;
            let loader = loader(config, &fs, stored.manifest.store)?;
            recover::recover(config, loader, &hashers, first, stored)?
        }
        None => super::create::create(config, &fs, first)?,
    };
    let replayed = opened.report.replay_time + opened.report.settle_time;
    opened.report.open_time = started.elapsed().saturating_sub(replayed);
    start(config, hashers, opened, lock)
}

/// The store's directory. Makes the directory if there is no store and `config` allows to create one.
fn find(config: &Config) -> Result<Arc<dyn FileSystem>> {
    let no_store = || Error::NoStore { path: config.path.clone() };
    let found = match config.bind() {
        Err(Error::NoStore { .. }) => None,
        found => Some(found?),
    };
    if let Some(fs) = found
        && directory::newest_number(&*fs, &config.path)?.is_some()
    {
        return Ok(fs);
    }
    if config.create { config.make() } else { Err(no_store()) }
}

/// Refuses numbers so high that later ones could pass the highest number that readers accept.
fn check_numbers(fs: &dyn FileSystem, manifest: &Manifest) -> Result<()> {
    const LAST: u64 = FileName::LAST_BELIEVED / 2;
    let Manifest { number, next_segment, next_part, log, trees, .. } = manifest;
    let (segment, group) = (log.open.segment.0, log.open.group.0);
    let sizes = trees.iter().map(|tree| tree.size);
    let numbers = [*number, *next_segment, *next_part, log.seq.0, segment, group];
    let highest = numbers.into_iter().chain(sizes).max();
    match highest {
        Some(found) if found > LAST => {
            let path = fs.display(manifests::file(*number));
            Err(Damage::field(&path, 0, "highest number", "below 2^61", found).into())
        }
        _ => Ok(()),
    }
}

/// Starts the threads.
fn start(
    config: &Config,
    hashers: Hashers,
    opened: Opened,
    lock: Box<dyn StoreLock>,
) -> Result<(Arc<Engine>, JoinHandle<()>)> {
    let Opened { loader, slots, admitted, changed, live, .. } = opened;
    let Opened { segments, log, point, checkpointed, report, erasing, pinned, marks, .. } = opened;
    let process = loader.process;
    let inflow = Inflow::new(point.tally, checkpointed, Limits::of(config), config.flush);
    inflow.set_erased_ranges(slots.iter().map(|slot| slot.erasures().ranges()).sum());
    let asleep = slots.iter().filter(|slot| slot.tree().is_none());
    inflow.set_asleep(asleep.map(|slot| (slot.spec.id, slot.stored())).collect());
    inflow.set_marks(marks.clone(), config.max_marks, config.mark_policy);
    for Admitted { tree, leaves, sealed } in admitted {
        inflow.admit(&tree, leaves, sealed);
    }
    let status = config.status_file.then(|| StatusFile::open(&*loader.fs)).flatten();
    let doubted_indexes = if report.clean { 0 } else { live.numbers().part };
    let engine = Arc::new_cyclic(|engine: &std::sync::Weak<Engine>| {
        let engine = engine.clone();
        let background = Background::new(process, move |job, waited| {
            if let Some(engine) = engine.upgrade() {
                engine.run(job, waited);
            }
        });
        Engine {
            fs: Arc::clone(&loader.fs),
            path: config.path.clone(),
            store: loader.store,
            catalog: Catalog::new(slots, loader, hashers, config.path.clone()),
            process,
            counters: super::counters::Counters::default(),
            report,
            doubted_indexes,
            settings: Settings::from(config),
            inflow,
            background,
            log: LogSide::new(process, segments, Flushed::new(point, changed, marks)),
            keeper: Keeper::new(live, checkpointed, erasing),
            gate: Gate::new(config.listeners.clone(), process),
            status,
            rewinding: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        }
    });
    engine.begin_status();
    pinned.into_iter().for_each(|name| engine.keeper.strays().add(name));
    let flusher = Flusher::new(Arc::clone(&engine) as Arc<dyn LogSource>, log, point);
    let thread = sync::spawn("duramen-flusher", move || flusher.run())
        .map_err(|error| Error::io("start the flusher of", &config.path, error))?;
    engine.checkpoint_if_due();
    engine.count_parts();
    engine.request_compaction();
    engine.request_indexes();
    Ok((engine, thread))
}
