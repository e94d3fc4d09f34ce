//! A witness whose store is older than what it cosigned, or another copy.

use super::*;
use crate::anchor::{Anchor, AnchorError, Anchored, DirectoryAnchor};
use crate::witness::{Declined, WitnessError};

const ORIGIN: &str = "example.com/log";

fn anchor(dir: &Path) -> Arc<dyn Anchor> {
    Arc::new(DirectoryAnchor::new(dir.join("anchor"), "witness").unwrap())
}

fn config(logs: &[&Log], dir: &Path) -> WitnessConfig {
    WitnessConfig::new(known(logs), Arc::new(ed25519())).anchor(anchor(dir))
}

/// Opens what is in `store`, and must be refused.
fn refused(store: &Path, config: WitnessConfig) -> WitnessError {
    let store = Store::open(Config::new(store).flush_policy(FlushPolicy::Manual)).unwrap();
    Witness::open(&store, config).unwrap_err()
}

/// Copies a store, as a backup does.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.unwrap().path(), to);
        let to = to.join(entry.file_name().unwrap());
        match entry.is_dir() {
            true => copy(&entry, &to),
            false => drop(std::fs::copy(&entry, &to).unwrap()),
        }
    }
}

#[test]
fn a_restored_backup_does_not_cosign_a_second_history() {
    let dir = tempfile::tempdir().unwrap();
    let (store, backup) = (dir.path().join("store"), dir.path().join("backup"));
    let log = Log::new(ORIGIN, 20);
    run(async {
        let place = Place::open_with(&store, config(&[&log], dir.path()));
        place.cosigned(&log, 0, 5).await;
        place.close();
        copy(&store, &backup);
        let place = Place::open_with(&store, config(&[&log], dir.path()));
        place.cosigned(&log, 5, 9).await;
        place.close();

        let error = refused(&backup, config(&[&log], dir.path()));
        assert!(matches!(error, WitnessError::RolledBack { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("2 records of cosigned-1, the store 1 of cosigned-1"), "{text}");
        // An anchor that is there is not made again.
        let error = refused(&backup, config(&[&log], dir.path()).first_anchor(true));
        assert!(matches!(error, WitnessError::AnchorExists { .. }), "{error}");
        // Nor does a new store help, whose witness knows nothing at all.
        let new = config(&[&log], dir.path()).new_store(true);
        let error = refused(&dir.path().join("new"), new);
        assert!(matches!(error, WitnessError::RolledBack { .. }), "{error}");
        // As long again, by another history.
        let place = Place::open(&backup, &[&log]);
        place.cosigned(&log, 5, 12).await;
        place.close();
        let error = refused(&backup, config(&[&log], dir.path()));
        assert!(matches!(error, WitnessError::Forked { .. }), "{error}");
        // The right one goes on.
        let place = Place::open_with(&store, config(&[&log], dir.path()));
        place.cosigned(&log, 9, 20).await;
        place.close();
    });
}

#[test]
fn a_witness_that_lost_its_store_and_its_anchor_does_not_begin_again_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (store, lost) = (dir.path().join("store"), dir.path().join("lost"));
    let log = Log::new(ORIGIN, 20);
    run(async {
        let error = refused(&store, config(&[&log], dir.path()));
        assert!(matches!(error, WitnessError::NewStore { .. }), "{error}");
        let place = Place::open_with(&store, config(&[&log], dir.path()));
        place.cosigned(&log, 0, 9).await;
        place.close();
        let error = refused(&store, config(&[&log], dir.path()).new_store(true));
        assert!(matches!(error, WitnessError::NotNew { .. }), "{error}");
        std::fs::rename(&store, &lost).unwrap();
        std::fs::remove_dir_all(dir.path().join("anchor")).unwrap();
        // It would cosign size 5 after size 9, and any other history.
        let error = refused(&store, config(&[&log], dir.path()));
        assert!(matches!(error, WitnessError::NewStore { .. }), "{error}");
    });
}

#[test]
fn of_two_copies_that_run_the_second_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (store, copied) = (dir.path().join("store"), dir.path().join("copy"));
    let log = Log::new(ORIGIN, 20);
    run(async {
        let place = Place::open_with(&store, config(&[&log], dir.path()));
        place.cosigned(&log, 0, 5).await;
        place.close();
        copy(&store, &copied);
        let first = Place::open_with(&store, config(&[&log], dir.path()));
        let second = Place::open_with(&copied, config(&[&log], dir.path()));
        first.cosigned(&log, 5, 9).await;
        for _ in 0..2 {
            let answer = second.witness.add_checkpoint(log.request(5, 12)).await.unwrap_err();
            assert!(matches!(answer, Declined::Failed(_)), "{answer}");
        }
        assert!(second.witness.stopped().unwrap().contains("holds"), "{:?}", second.witness);
        first.cosigned(&log, 9, 20).await;
    });
}

#[test]
fn a_store_that_has_cosigned_needs_its_anchor_unless_the_first_one_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let log = Log::new(ORIGIN, 9);
    run(async {
        let place = Place::open(&store, &[&log]);
        place.cosigned(&log, 0, 5).await;
        place.close();
        let error = refused(&store, config(&[&log], dir.path()));
        assert!(matches!(error, WitnessError::NoAnchor { records: 1, .. }), "{error}");
        let place = Place::open_with(&store, config(&[&log], dir.path()).first_anchor(true));
        place.cosigned(&log, 5, 9).await;
        place.close();
        Place::open_with(&store, config(&[&log], dir.path())).close();
        // That of another witness is of no use.
        let other = Cosigner::new("witness.example/other", Ed25519Key::from_secret(&[9; 32]));
        let other = WitnessConfig::new(known(&[&log]), Arc::new(other.unwrap()));
        let error = refused(&store, other.anchor(anchor(dir.path())));
        assert!(matches!(error, WitnessError::OtherAnchor { .. }), "{error}");
    });
}

#[test]
fn the_anchor_comes_along_to_the_next_generation_and_a_backup_of_an_older_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, backup) = (dir.path().join("store"), dir.path().join("backup"));
    let log = Log::new(ORIGIN, 20);
    let few = || config(&[&log], dir.path()).history(1);
    run(async {
        let place = Place::open_with(&store, few());
        place.cosigned(&log, 0, 1).await;
        place.close();
        copy(&store, &backup);
        let place = Place::open_with(&store, few());
        for size in 2..20 {
            place.cosigned(&log, size - 1, size).await;
        }
        place.close();
        let held = anchor(dir.path()).load().unwrap().unwrap();
        assert_ne!(held.store, "cosigned-1");
        let error = refused(&backup, few());
        assert!(matches!(error, WitnessError::RolledBack { .. }), "{error}");
        let place = Place::open_with(&store, few());
        place.cosigned(&log, 19, 20).await;
        place.close();
    });
}

/// An anchor whose replacements fail from the third on.
#[derive(Debug)]
struct Failing(DirectoryAnchor, std::sync::atomic::AtomicUsize);

impl Anchor for Failing {
    fn load(&self) -> Result<Option<Anchored>, AnchorError> {
        self.0.load()
    }

    fn replace(&self, old: Option<&Anchored>, new: &Anchored) -> Result<(), AnchorError> {
        if self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 {
            return self.0.replace(old, new);
        }
        let (place, reason) = (String::new(), "a test".to_owned());
        Err(AnchorError::Io { action: "replace", place, reason })
    }
}

#[test]
fn what_the_anchor_does_not_have_is_not_answered_and_after_a_restart_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let log = Log::new(ORIGIN, 20);
    run(async {
        let right = DirectoryAnchor::new(dir.path().join("anchor"), "witness").unwrap();
        let failing = Arc::new(Failing(right, 0.into()));
        let config_ = WitnessConfig::new(known(&[&log]), Arc::new(ed25519())).anchor(failing);
        let place = Place::open_with(&store, config_);
        place.cosigned(&log, 0, 5).await;
        assert_eq!(place.status(&log, 5, 9).await, 503);
        assert_eq!(place.status(&log, 5, 9).await, 503);
        place.close();
        // The record is durable, and counts.
        let place = Place::open_with(&store, config(&[&log], dir.path()));
        assert_eq!(place.status(&log, 5, 9).await, 409);
        place.cosigned(&log, 9, 20).await;
        place.close();
    });
}
