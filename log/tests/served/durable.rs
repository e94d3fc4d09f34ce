//! What an answer says of an entry, and what a power cut leaves of it.

use std::sync::Arc;
use std::time::Duration;

use duramen::fs::FileKind;
use duramen::testing::sim::{Fault, FaultError, OperationKind, SimDisk, When};
use duramen_log::http::Limits;
use duramen_log::{AddError, Log, Refused};

use crate::rig::{Obedient, Rig, until};

fn sync_of_the_log() -> When {
    When::nth(OperationKind::Sync, 1).on(FileKind::Segment)
}

/// Whether the store that a power cut leaves has all entries that were answered while syncs do not end.
fn keeps_what_it_answers_before_a_sync(rig: &Rig) -> bool {
    let log = rig.log(|config| config.interval(Duration::from_secs(3600)));
    let held = rig.disk.hold(sync_of_the_log());
    let mut answer = log.submit(vec!["an entry".into()]).unwrap();
    held.wait_reached();
    // A log that answers too early does so about now.
    let mut answered = false;
    for _ in 0..20 {
        answered |= answer.try_recv().is_ok();
        std::thread::sleep(Duration::from_millis(5));
    }
    let kept = rig.size_after_power_cut();
    held.release();
    if !answered {
        answer.blocking_recv().unwrap().unwrap();
        assert_eq!(rig.size_after_power_cut(), 1, "an entry that was answered");
    }
    !answered || kept == 1
}

#[test]
fn an_entry_is_answered_after_the_sync_that_makes_it_durable() {
    assert!(keeps_what_it_answers_before_a_sync(&Rig::new()));
}

/// The test above notices a log that answers too early.
#[cfg(duramen_mutants)]
#[test]
fn a_log_that_answers_before_the_sync_is_found_out() {
    use duramen::testing::faulty::{Faulty, Flaw, Mutant};
    let disk = SimDisk::new();
    let early = Faulty::new(disk.clone(), Flaw::Engine(Mutant::AcknowledgeBeforeSync));
    let rig = Rig::on(&disk, Arc::new(early), Obedient::default());
    assert!(!keeps_what_it_answers_before_a_sync(&rig));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_leaves_an_entry_unknown_and_stops_the_log() {
    let rig = Rig::new();
    let client = rig.served(&Limits::default());
    assert_eq!(client.add("one").await.status, 200);
    rig.disk.inject(Fault::new(sync_of_the_log(), FaultError::EIO).for_ever());
    let unknown = client.add("two").await;
    assert_eq!(unknown.status, 500, "{unknown:?}");
    assert!(unknown.text().contains("whether it is in the log is not known"), "{unknown:?}");
    // From now on it is known: nothing is taken.
    until("the stop", async || client.get("/readyz").await.status == 503).await;
    let refused = client.add("three").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(!refused.text().contains("store/"), "no path of the machine: {refused:?}");
    let size = rig.size_after_power_cut();
    assert!((1..=2).contains(&size), "{size}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_answered_as_such() {
    let rig = Rig::new();
    let client = rig.served(&Limits::default());
    assert_eq!(client.add("one").await.status, 200);
    let full = Fault::new(
        When::nth(OperationKind::Write, 1).on(FileKind::Segment),
        FaultError::Kind(std::io::ErrorKind::StorageFull),
    );
    rig.disk.inject(full.for_ever());
    let first = client.add("two").await;
    assert!([500, 507].contains(&first.status), "{first:?}");
    until("507", async || client.add("three").await.status == 507).await;
    assert_eq!(client.add("four").await.header("retry-after"), Some("30"));
    // What stands can be read.
    assert_eq!(client.get("/checkpoint").await.status, 200);
}

#[test]
fn what_waits_is_bounded_and_answered_in_order_once_the_disk_goes_on() {
    let rig = Rig::new();
    let log = rig.log(|config| config.interval(Duration::from_secs(3600)).most_waiting(1000));
    let held = rig.disk.hold(sync_of_the_log());
    let mut answers = Vec::new();
    let refused = loop {
        assert!(answers.len() < 10_000, "nothing is refused");
        match log.submit(vec![format!("{:0100}", answers.len()).into()]) {
            Ok(answer) => answers.push(answer),
            Err(refused) => break refused,
        }
        // Each gets a group of its own for a while, so that the threads fill up too.
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(matches!(refused, Refused::Full { .. }), "{refused}");
    held.release();
    for (place, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.blocking_recv().unwrap().unwrap()[0].index, place as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_at_once_is_asked_to_come_again() {
    let rig = Rig::new();
    let client = rig.client(&Limits::default(), |config| {
        config.interval(Duration::from_secs(3600)).most_waiting(1000)
    });
    let held = rig.disk.hold(sync_of_the_log());
    let mut waiting = Vec::new();
    let refused = loop {
        assert!(waiting.len() < 10_000, "nothing is refused");
        let (client, number) = (client.clone(), waiting.len());
        let mut add = tokio::spawn(async move { client.add(format!("{number:0100}")).await });
        match tokio::time::timeout(Duration::from_millis(5), &mut add).await {
            Ok(answer) => break answer.unwrap(),
            Err(_) => waiting.push(add),
        }
    };
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{refused:?}");
    held.release();
    for add in waiting {
        assert_eq!(add.await.unwrap().status, 200);
    }
}

#[test]
fn entries_that_were_taken_and_not_inserted_are_not_in_the_log() {
    let rig = Rig::new();
    let log: Log = rig.log(|config| config);
    rig.store.clone().close().unwrap();
    let answer = log.submit(vec!["one".into()]).unwrap().blocking_recv().unwrap();
    assert!(matches!(answer, Err(AddError::NotInserted(_))), "{answer:?}");
}
