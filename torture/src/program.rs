//! The program as a writer: it appends leaves and says which are durable.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::check::{Bounds, leaf};
use testkit::random::Random;

/// A program that appends until its input ends or it fails.
pub(crate) struct Writer {
    child: Child,
    feeder: JoinHandle<u64>,
    reader: JoinHandle<Result<u64>>,
    acked: Arc<AtomicU64>,
}

/// What is fed: leaves from `first` on, at most `most` of them, a few at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Feed {
    pub(crate) first: u64,
    pub(crate) most: u64,
    pub(crate) seed: u64,
}

impl Feed {
    pub(crate) fn policies(&self) -> [&'static str; 2] {
        POLICIES[usize::try_from(self.seed % 4).unwrap_or(0)]
    }
}

/// The policies under which the program works.
const POLICIES: [[&str; 2]; 4] = [
    ["interval:1ms", "every:300"],
    ["interval:1ms", "manual"],
    ["manual", "every:150"],
    ["interval:2ms", "every:2000,close"],
];

impl Writer {
    /// Starts `command`, which is the program's path or something that runs it, and calls `on_ack` for
    /// each acknowledgement.
    pub(crate) fn start(
        command: &[&str],
        dir: &Path,
        feed: Feed,
        on_ack: impl Fn(u64) + Send + 'static,
    ) -> Result<Self> {
        let (program, args) = command.split_first().context("no program")?;
        let [flush, checkpoint] = feed.policies();
        let mut child = Command::new(program)
            .args(args)
            .arg("append")
            .arg(dir)
            .args(["--ack", "--input", "hex"])
            .args(["--flush-policy", flush, "--checkpoint-policy", checkpoint])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let acked = Arc::new(AtomicU64::new(feed.first));
        let seen = Arc::clone(&acked);
        let reader = std::thread::spawn(move || {
            let mut next = feed.first;
            for line in output.lines().map_while(Result::ok) {
                // The last line is the head, or an acknowledgement cut short.
                if line == next.to_string() {
                    next += 1;
                    seen.store(next, Ordering::SeqCst);
                    on_ack(next);
                }
            }
            Ok(next)
        });
        let feeder = std::thread::spawn(move || write(input, feed));
        Ok(Self { child, feeder, reader, acked })
    }

    /// How many leaves are acknowledged so far.
    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::SeqCst)
    }

    /// Waits until so many leaves are acknowledged; fails if that takes too long.
    pub(crate) fn wait_for(&self, acked: u64) -> Result<()> {
        let started = Instant::now();
        while self.acked() < acked {
            if started.elapsed() > Duration::from_secs(60) {
                bail!("{} leaves of {acked} were acknowledged in a minute", self.acked());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill()?)
    }

    /// Waits until the program has ended; fails if it does not.
    pub(crate) fn finish(mut self) -> Result<(ExitStatus, Bounds)> {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if started.elapsed() > Duration::from_secs(60) {
                self.child.kill()?;
                self.child.wait()?;
                bail!("the program hung for a minute after {} acknowledgements", self.acked());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let acked = self.reader.join().ok().context("the reader ended")??;
        let submitted = self.feeder.join().ok().context("the feeder ended")?;
        Ok((status, Bounds { acked, submitted }))
    }
}

/// Writes leaves until there are enough or the reader is gone; returns where it ended.
fn write(mut input: ChildStdin, Feed { first, most, seed }: Feed) -> u64 {
    let mut random = Random(seed);
    let mut next = first;
    while next < first + most {
        let mut text = String::new();
        for _ in 0..(1 + random.below(8)).min(first + most - next) {
            for byte in leaf(next) {
                text += &format!("{byte:02x}");
            }
            text.push('\n');
            next += 1;
        }
        if input.write_all(text.as_bytes()).is_err() {
            break;
        }
        if random.below(2) == 0 {
            std::thread::sleep(Duration::from_micros(random.below(1500)));
        }
    }
    next
}
