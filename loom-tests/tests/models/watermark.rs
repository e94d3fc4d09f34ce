//! Tokens: never `Ok` before the fsync, always an answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use duramen::testing::models::Watermark;
use duramen::{DurabilityToken, Error};
use duramen_loom_tests::{Model, Signal};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

/// A watermark, and a device that reaches a sequence number before the watermark may.
struct Log {
    device: AtomicU64,
    watermark: Watermark,
}

impl Log {
    fn new() -> Arc<Self> {
        Arc::new(Self { device: AtomicU64::new(0), watermark: Watermark::new(0) })
    }

    /// What the flusher does, seen from afar.
    fn sync(&self, seq: u64) {
        self.device.store(seq, Ordering::Relaxed);
        self.watermark.advance(seq);
    }

    /// The leaves of a resolved token are on the device, and the token's thread can see it.
    fn check(&self, seq: u64) {
        let device = self.device.load(Ordering::Relaxed);
        assert!(device >= seq, "told of {seq} when the device had {device}");
    }
}

fn spawn(log: &Arc<Log>, work: impl FnOnce(&Log) + 'static) -> thread::JoinHandle<()> {
    let log = Arc::clone(log);
    thread::spawn(move || work(&log))
}

fn is_closed(answer: &Result<(), Error>) -> bool {
    matches!(answer, Err(Error::Closed))
}

#[test]
fn every_waiter_is_told_once_its_leaves_are_on_the_device_and_not_before() {
    Model::new(3).check(|| {
        let log = Log::new();
        let waiters = [1, 2].map(|seq| {
            spawn(&log, move |log| {
                log.watermark.token(seq).wait().unwrap();
                log.check(seq);
            })
        });
        log.sync(1);
        log.sync(2);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn who_looks_and_finds_its_leaves_durable_finds_them_on_the_device() {
    Model::new(3).check(|| {
        let log = Log::new();
        let token = log.watermark.token(1);
        let flusher = spawn(&log, |log| log.sync(1));
        if token.is_durable() {
            log.check(1);
            token.wait().unwrap();
        }
        flusher.join().unwrap();
        assert!(token.is_durable());
    });
}

#[test]
fn an_end_answers_everyone_who_waits_for_more() {
    Model::new(3).check(|| {
        let log = Log::new();
        let waiters = [1, 2].map(|seq| {
            spawn(&log, move |log| {
                let answer = log.watermark.token(seq).wait();
                if seq == 1 {
                    answer.unwrap();
                    log.check(1);
                } else {
                    assert!(is_closed(&answer), "{answer:?}");
                }
            })
        });
        log.sync(1);
        log.watermark.end(Error::Closed);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn the_first_end_stays_and_everyone_hears_the_same() {
    Model::new(3).check(|| {
        let log = Log::new();
        let early = log.watermark.token(1);
        let failure = spawn(&log, |log| {
            log.watermark.end(Error::ThreadPanicked { thread: "flusher" });
        });
        let close = spawn(&log, |log| log.watermark.end(Error::Closed));
        let told = early.wait().unwrap_err().to_string();
        for thread in [failure, close] {
            thread.join().unwrap();
        }
        for token in [early, log.watermark.token(7)] {
            assert_eq!(token.wait().unwrap_err().to_string(), told);
        }
    });
}

#[test]
fn after_an_end_nothing_becomes_durable_any_more() {
    Model::new(3).check(|| {
        let log = Log::new();
        let flusher = spawn(&log, |log| log.sync(1));
        let close = spawn(&log, |log| log.watermark.end(Error::Closed));
        let token = log.watermark.token(1);
        let told = token.wait().is_ok();
        for thread in [flusher, close] {
            thread.join().unwrap();
        }
        assert_eq!(token.is_durable(), told);
        assert_eq!(token.wait().is_ok(), told);
    });
}

#[test]
fn a_wait_with_a_limit_hears_of_what_comes_within_it() {
    Model::new(3).check(|| {
        let log = Log::new();
        let waiters = [1, 2].map(|seq| {
            spawn(&log, move |log| {
                let answer = log.watermark.token(seq).wait_timeout(Duration::from_secs(1));
                match seq {
                    1 => {
                        assert!(answer.unwrap());
                        log.check(1);
                    }
                    _ => assert!(is_closed(&answer.map(|_| ()))),
                }
            })
        });
        log.sync(1);
        log.watermark.end(Error::Closed);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn a_wait_that_times_out_says_so_and_claims_nothing() {
    Model::new(3).timed_waits_expire().check(|| {
        let log = Log::new();
        let waiter = spawn(&log, |log| {
            let token = log.watermark.token(1);
            if token.wait_timeout(Duration::from_secs(1)).unwrap() {
                log.check(1);
            } else {
                token.wait().unwrap();
                log.check(1);
            }
        });
        log.sync(1);
        waiter.join().unwrap();
    });
}

/// Polls until there is an answer; sleeps between, until woken.
fn block_on(mut token: DurabilityToken, signal: &Arc<Signal>) -> Result<(), Error> {
    let waker = signal.waker();
    loop {
        match Pin::new(&mut token).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => signal.take(),
        }
    }
}

#[test]
fn every_task_that_awaits_is_woken() {
    Model::new(3).check(|| {
        let log = Log::new();
        let tasks = [1, 2].map(|seq| {
            spawn(&log, move |log| {
                let answer = block_on(log.watermark.token(seq), &Signal::new());
                if seq == 1 {
                    answer.unwrap();
                    log.check(1);
                } else {
                    assert!(is_closed(&answer));
                }
            })
        });
        log.sync(1);
        log.watermark.end(Error::Closed);
        for task in tasks {
            task.join().unwrap();
        }
    });
}

#[test]
fn a_future_that_moves_to_another_task_wakes_that_one() {
    Model::new(3).check(|| {
        let log = Log::new();
        let flusher = spawn(&log, |log| log.sync(1));
        let mut token = log.watermark.token(1);
        let first = Signal::new().waker();
        if Pin::new(&mut token).poll(&mut Context::from_waker(&first)).is_pending() {
            block_on(token, &Signal::new()).unwrap();
        }
        log.check(1);
        flusher.join().unwrap();
    });
}

#[test]
fn a_token_may_be_dropped_while_its_waker_is_called() {
    Model::new(3).check(|| {
        let log = Log::new();
        let flusher = spawn(&log, |log| log.sync(2));
        let mut dropped = log.watermark.token(1);
        let waker = Signal::new().waker();
        let _ = Pin::new(&mut dropped).poll(&mut Context::from_waker(&waker));
        drop(dropped);
        block_on(log.watermark.token(2), &Signal::new()).unwrap();
        flusher.join().unwrap();
    });
}
