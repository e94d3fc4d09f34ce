//! What a witness keeps: over restarts, of many logs, and under requests at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::witness::{Declined, WitnessError};

const ORIGIN: &str = "example.com/log";

#[test]
fn after_a_restart_the_last_size_stands() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 20);
    run(async {
        for step in 1..5 {
            let place = Place::open(dir.path(), &[&log]);
            let before = (step - 1) * 5;
            let other = if before == 0 { 1 } else { 0 };
            assert_eq!(place.status(&log, other, step * 5).await, 409);
            place.cosigned(&log, before, step * 5).await;
            let shown = place.shown(&log).await.body;
            place.close();
            let place = Place::open(dir.path(), &[&log]);
            assert_eq!(place.shown(&log).await.body, shown);
            place.close();
        }
    });
}

#[test]
fn a_log_that_was_not_listed_for_a_while_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 9);
    let other = Log::new("example.com/other", 9);
    run(async {
        let place = Place::open(dir.path(), &[&log]);
        place.cosigned(&log, 0, 5).await;
        place.close();
        let few = || WitnessConfig::new(known(&[&other]), Arc::new(ed25519())).history(1);
        let place = Place::open_with(dir.path(), few());
        assert_eq!(place.status(&log, 5, 9).await, 404);
        assert_eq!(place.witness.logs(), (1, 1));
        // Its record comes along when old ones are dropped.
        for size in 1..9 {
            place.cosigned(&other, size - 1, size).await;
        }
        place.close();
        let place = Place::open(dir.path(), &[&log]);
        assert_eq!(place.status(&log, 0, 9).await, 409);
        place.cosigned(&log, 5, 9).await;
        place.close();
    });
}

#[test]
fn a_thousand_logs_share_a_store_and_each_has_its_own_size() {
    let dir = tempfile::tempdir().unwrap();
    let logs: Vec<_> = (0..1000)
        .map(|number| Log::new(&format!("log.example/{number}"), 3 + number % 7))
        .collect();
    let logs: Vec<&Log> = logs.iter().collect();
    run(async {
        let place = Place::open(dir.path(), &logs);
        let each = |old: fn(u64) -> u64, new: fn(u64) -> u64| {
            let requests = logs.iter().map(|log| {
                let size = log.tree.head().unwrap().size.get();
                (log.request(old(size), new(size)), Arc::clone(&place.witness))
            });
            requests.collect::<Vec<_>>()
        };
        let all = async |requests: Vec<(AddCheckpoint, Arc<Witness>)>| {
            let begun = requests.into_iter().map(|(request, witness)| {
                tokio::spawn(async move { witness.add_checkpoint(request).await })
            });
            for one in begun.collect::<Vec<_>>() {
                one.await.unwrap().unwrap();
            }
        };
        all(each(|_| 0, |size| size - 1)).await;
        let syncs = place.store().stats().syncs;
        all(each(|size| size - 1, |size| size)).await;
        let syncs = place.store().stats().syncs - syncs;
        assert!(syncs < 500, "{syncs} syncs for 1,000 cosignatures");
        assert_eq!((place.witness.logs(), place.witness.records()), ((1000, 1000), 2000));
        place.close();

        let place = Place::open(dir.path(), &logs);
        assert_eq!(place.witness.logs(), (1000, 1000));
        for log in logs.iter().step_by(37) {
            let size = log.tree.head().unwrap().size.get();
            let answer = place.add(&log.request(size - 1, size)).await;
            assert_eq!((answer.status, answer.body), (409, format!("{size}\n")));
            place.cosigned(log, size, size).await;
        }
        place.close();
    });
}

#[test]
fn of_requests_for_one_log_at_the_same_time_one_is_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    let trunk = Log::new(ORIGIN, 5);
    run(async {
        let place = Place::open(dir.path(), &[&trunk]);
        place.cosigned(&trunk, 0, 5).await;
        let cosigned = Arc::new(AtomicUsize::new(0));
        let racers: Vec<_> = (0..16u64)
            .map(|number| {
                // Each has a history of its own behind the trunk, and sizes overlap.
                let mut branch = Log::new(ORIGIN, 5);
                branch.grow(1 + number % 4, &format!("branch {number}"));
                let request = branch.request(5, 6 + number % 4);
                let (witness, cosigned) = (Arc::clone(&place.witness), Arc::clone(&cosigned));
                tokio::spawn(async move {
                    match witness.add_checkpoint(request).await {
                        Ok(_) => drop(cosigned.fetch_add(1, Ordering::SeqCst)),
                        Err(Declined::Refused(refusal)) => {
                            assert_eq!(refusal.status().code(), 409, "{refusal}");
                        }
                        Err(failed) => panic!("{failed}"),
                    }
                })
            })
            .collect();
        for racer in racers {
            racer.await.unwrap();
        }
        assert_eq!(cosigned.load(Ordering::SeqCst), 1);
        assert_eq!(place.witness.records(), 2);
        place.close();
    });
}

#[test]
fn a_request_whose_sender_goes_away_is_brought_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 9);
    run(async {
        let place = Place::open(dir.path(), &[&log]);
        {
            let mut left = std::pin::pin!(place.witness.add_checkpoint(log.request(0, 5)));
            // Begun, and dropped before its end.
            let waker = std::task::Waker::noop();
            let mut context = std::task::Context::from_waker(waker);
            let _ = left.as_mut().poll(&mut context);
        }
        // It has its turn before this one.
        let answer = place.add(&log.request(5, 9)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        place.close();
    });
}

#[test]
fn without_a_time_nothing_is_cosigned_or_written() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 9);
    run(async {
        let clock = Hand::default();
        let place = Place::open_with(dir.path(), clock.of(&log));
        let declined = place.witness.add_checkpoint(log.request(0, 5)).await.unwrap_err();
        assert!(matches!(declined, Declined::Failed(WitnessError::Clock)), "{declined:?}");
        assert_eq!(place.witness.records(), 0);
        clock.set(1_000_000);
        let cosigned = place.witness.add_checkpoint(log.request(0, 5)).await.unwrap();
        assert_eq!(time_of(&cosigned[0]), 1_000_000);
        place.close();
    });
}

#[test]
fn the_same_checkpoint_is_cosigned_again_and_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 9);
    run(async {
        let clock = Hand::default();
        let place = Place::open_with(dir.path(), clock.of(&log));
        let add = async |old, new, now| {
            clock.set(now);
            place.witness.add_checkpoint(log.request(old, new)).await.unwrap()
        };
        let first = add(0, 5, 1_000_000).await;
        assert_eq!(time_of(&first[0]), 1_000_000);
        for later in 1..10 {
            assert_eq!(time_of(&add(5, 5, 1_000_000 + later).await[0]), 1_000_000 + later);
        }
        assert_eq!(place.witness.records(), 1);
        // The clock went back by a minute.
        assert_eq!(time_of(&add(5, 9, 999_940).await[0]), 1_000_009);
        place.close();
        // The time is kept.
        let place = Place::open_with(dir.path(), clock.of(&log));
        let again = place.witness.add_checkpoint(log.request(9, 9)).await.unwrap();
        assert_eq!(time_of(&again[0]), 1_000_009);
        place.close();
    });
}

/// `tlog-cosignature`, Format: a timestamp in the future may be refused, so a time that was wrong is not kept.
#[test]
fn a_clock_that_was_far_ahead_is_followed_once_it_is_right_also_after_a_restart() {
    const NOW: u64 = 1_800_000_000;
    const AHEAD: u64 = NOW + 10 * 365 * 86_400;
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 20);
    run(async {
        let clock = Hand::default();
        let place = Place::open_with(dir.path(), clock.of(&log));
        let add = async |place: &Place, old, new, now| {
            clock.set(now);
            time_of(&place.witness.add_checkpoint(log.request(old, new)).await.unwrap()[0])
        };
        assert_eq!(add(&place, 0, 5, NOW).await, NOW);
        assert_eq!(add(&place, 5, 9, AHEAD).await, AHEAD);
        assert_eq!(add(&place, 9, 9, NOW + 60).await, NOW + 60);
        place.close();
        // The wrong time does not come back, when it is near or after the store was read again.
        let place = Place::open_with(dir.path(), clock.of(&log));
        assert_eq!(add(&place, 9, 9, AHEAD - 60).await, AHEAD - 60);
        assert_eq!(add(&place, 9, 20, AHEAD - 50).await, AHEAD - 50);
        place.close();
    });
}

#[test]
fn old_records_are_dropped_and_no_size_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let logs: Vec<_> =
        (0..5).map(|number| Log::new(&format!("log.example/{number}"), 60)).collect();
    let logs: Vec<&Log> = logs.iter().collect();
    let few = || WitnessConfig::new(known(&logs), Arc::new(ed25519())).history(40);
    run(async {
        let mut place = Place::open_with(dir.path(), few());
        let mut sizes = [0; 5];
        for step in 0..250u64 {
            let which = usize::try_from(step * step % 5).unwrap();
            if sizes[which] < 60 {
                place.cosigned(logs[which], sizes[which], sizes[which] + 1).await;
                sizes[which] += 1;
            }
            if step % 83 == 82 {
                place.close();
                place = Place::open_with(dir.path(), few());
            }
        }
        // What is dropped is dropped behind the answer.
        while place.witness.records() > 50 {
            tokio::task::yield_now().await;
        }
        let trees = place.store().trees().unwrap();
        let names: Vec<_> = trees.iter().map(|tree| tree.name.as_str()).collect();
        assert!(names.len() == 1 && names[0] > "cosigned-2", "{names:?}");
        for (log, size) in logs.iter().zip(sizes).filter(|(_, size)| *size > 0) {
            let shown: SignedNote = place.shown(log).await.body.parse().unwrap();
            assert_eq!(shown.unverified_text(), log.note(size).unverified_text());
            place.cosigned(log, size, size).await;
        }
        place.close();
    });
}

#[test]
fn a_crash_while_old_records_are_dropped_leaves_the_old_or_the_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 9);
    run(async {
        let place = Place::open(dir.path(), &[&log]);
        place.cosigned(&log, 0, 5).await;
        // The tree of the next generation was created, and nothing put there.
        let old = place.store().existing_tree("cosigned-1").unwrap();
        let kept = old.entry_config().unwrap();
        let config = || duramen::TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two).entries(kept);
        place.store().tree_dyn("cosigned-2", config()).unwrap();
        place.close();
        let place = Place::open(dir.path(), &[&log]);
        assert_eq!(place.status(&log, 0, 9).await, 409);
        // The batch is there, and the old tree was not dropped.
        let next = place.store().tree_dyn("cosigned-2", config()).unwrap();
        let record = place.shown(&log).await.body;
        next.insert_entry_durable(&record).unwrap();
        drop((next, old));
        place.close();
        let place = Place::open(dir.path(), &[&log]);
        assert_eq!(place.shown(&log).await.body, record);
        place.cosigned(&log, 5, 9).await;
        let names: Vec<_> =
            place.store().trees().unwrap().iter().map(|tree| tree.name.to_string()).collect();
        assert_eq!(names, ["cosigned-2"]);
        place.close();
    });
}

#[test]
fn a_store_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1);
    let store = Store::open(Config::new(dir.path())).unwrap();
    store.tree::<Rfc6962Sha256, 2>("main").unwrap().insert_durable([1; 32]).unwrap();
    let config = WitnessConfig::new(known(&[&log]), Arc::new(ed25519())).new_store(true);
    let refused = Witness::open(&store, config).unwrap_err();
    assert!(matches!(refused, WitnessError::NotAWitness { .. }), "{refused}");
}
