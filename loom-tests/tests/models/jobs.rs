//! Background work: what is asked for is done, and after a stop nothing is.

use std::sync::Arc;

use duramen::testing::models::{self, Jobs};
use duramen_loom_tests::{Model, Signal};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

#[test]
fn a_job_runs_also_if_the_last_worker_is_about_to_leave() {
    Model::new(3).timed_waits_expire().check(|| {
        let ran = Signal::new();
        let signal = Arc::clone(&ran);
        let jobs = Jobs::new(move |_| signal.give());
        for job in 0..2 {
            jobs.request(job);
            ran.take();
        }
        jobs.stop();
    });
}

#[test]
fn a_job_runs_also_if_all_workers_are_about_to_leave() {
    Model::new(2).timed_waits_expire().check(|| {
        let ran: Arc<[Arc<Signal>; 3]> = Arc::new([Signal::new(), Signal::new(), Signal::new()]);
        let signals = Arc::clone(&ran);
        let jobs = Jobs::new(move |job| signals[job as usize].give());
        jobs.request(0);
        jobs.request(1);
        ran[0].take();
        ran[1].take();
        jobs.request(2);
        ran[2].take();
        jobs.stop();
    });
}

#[test]
fn a_sleeping_worker_wakes_for_a_job_and_for_the_stop() {
    Model::new(3).check(|| {
        let ran = Signal::new();
        let signal = Arc::clone(&ran);
        let jobs = Jobs::new(move |_| signal.give());
        for job in 0..2 {
            jobs.request(job);
            ran.take();
        }
        jobs.stop();
    });
}

#[test]
fn after_stop_has_returned_nothing_runs() {
    Model::new(3).check(|| {
        let running = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&running);
        let jobs = Jobs::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let other = jobs.clone();
        let asker = thread::spawn(move || other.request(1));
        jobs.request(0);
        jobs.stop();
        let ran = running.load(Ordering::SeqCst);
        assert!(ran <= 2);
        asker.join().unwrap();
        jobs.request(2);
        assert_eq!(running.load(Ordering::SeqCst), ran, "a job ran after stop");
    });
}

#[test]
fn a_job_may_ask_for_another_while_everything_stops() {
    Model::new(3).check(|| {
        let jobs = Jobs::new_cyclic(|jobs, job| {
            if job == 0 {
                jobs.request(1);
            }
        });
        jobs.request(0);
        jobs.stop();
    });
}

#[test]
fn stopping_does_not_wait_for_a_worker_that_could_not_be_started() {
    Model::new(3).check(|| {
        let jobs = Jobs::new(|_| ());
        let other = jobs.clone();
        models::fail_spawns(1);
        let asker = thread::spawn(move || other.request(0));
        jobs.stop();
        asker.join().unwrap();
    });
}

#[test]
fn a_job_whose_worker_could_not_be_started_runs_when_it_is_asked_for_again() {
    Model::new(3).check(|| {
        let ran = Signal::new();
        let signal = Arc::clone(&ran);
        let jobs = Jobs::new(move |_| signal.give());
        models::fail_spawns(1);
        jobs.request(0);
        jobs.request(0);
        ran.take();
        jobs.stop();
    });
}

#[test]
fn a_job_whose_worker_could_not_be_started_runs_when_the_start_is_tried_again() {
    Model::new(3).check(|| {
        let ran = Signal::new();
        let signal = Arc::clone(&ran);
        let jobs = Jobs::new(move |_| signal.give());
        models::fail_spawns(1);
        jobs.request(0);
        assert!(jobs.start_waiting());
        ran.take();
        jobs.stop();
    });
}

#[test]
fn a_job_is_not_held_up_by_one_that_a_sleeping_worker_was_woken_for() {
    Model::new(2).check(|| {
        let (ran, release) = (Signal::new(), Signal::new());
        let (signal, gate) = (Arc::clone(&ran), Arc::clone(&release));
        let jobs = Jobs::new(move |job| match job {
            // Runs until the other job has.
            1 => gate.take(),
            _ => signal.give(),
        });
        jobs.request(0);
        ran.take();
        jobs.request(1);
        jobs.request(2);
        ran.take();
        release.give();
        jobs.stop();
    });
}

#[test]
fn a_job_without_a_worker_is_done_once_by_one_of_those_who_wait_for_it() {
    Model::new(3).check(|| {
        let ran = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&ran);
        let jobs = Jobs::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        models::fail_spawns(1);
        jobs.request(0);
        let other = jobs.clone();
        let lender = thread::spawn(move || other.lend());
        let lent = [jobs.lend(), lender.join().unwrap()];
        assert_eq!(lent.iter().filter(|lent| **lent).count(), 1);
        assert_eq!(ran.load(Ordering::SeqCst), 1);
        jobs.stop();
    });
}

#[test]
fn a_stop_waits_for_a_thread_that_does_a_job_for_the_workers() {
    Model::new(3).check(|| {
        let running = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&running);
        let jobs = Jobs::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
            count.fetch_sub(1, Ordering::SeqCst);
        });
        models::fail_spawns(1);
        jobs.request(0);
        let other = jobs.clone();
        let lender = thread::spawn(move || other.lend());
        jobs.stop();
        assert_eq!(running.load(Ordering::SeqCst), 0, "a job runs after the stop");
        lender.join().unwrap();
    });
}
