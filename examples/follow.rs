//! A writer of a log, and a follower that keeps a count of its words, as an index of another kind would be kept.
//!
//! `cargo run --release --example follow`

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use duramen::{Blake3, Config, EntryConfig, LeafIndex, Reader, Store, Tail, TreeConfig};

fn main() -> Result<(), Box<dyn Error>> {
    run()
}

/// What the follower keeps: the words, and the leaf to continue with. A real one makes both durable together.
#[derive(Default)]
struct Words {
    counts: BTreeMap<String, u64>,
    next: LeafIndex,
}

impl Words {
    /// Takes leaves until the count of all words reaches `words`.
    fn follow(&mut self, tail: &mut Tail, words: u64) -> Result<(), Box<dyn Error>> {
        while self.counts.values().sum::<u64>() < words {
            // Waits until the next leaf is durable. What a crash could undo is never counted.
            let appended = tail.next().ok_or("the log has ended")??;
            let entry = appended.entry.ok_or("the tree keeps no entries")?;
            for word in String::from_utf8_lossy(&entry).split_whitespace() {
                *self.counts.entry(word.to_owned()).or_default() += 1;
            }
            self.next = tail.next_index();
        }
        Ok(())
    }
}

/// Runs the example.
pub fn run() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    // Readers learn that the last group is durable when the writer pauses.
    let config = Config::new(dir.path()).claim_idle(Duration::from_millis(20))?;
    let store = Store::open(config)?;
    let kept = TreeConfig::of::<Blake3, 4>().entries(EntryConfig::new());
    let log = store.tree_dyn("lines", kept.clone())?;
    store.flush()?;

    // The follower has nothing but the directory: it could be another process.
    let reader = Reader::open_tree(Config::new(dir.path()), "lines", kept)?;
    let mut words = Words::default();
    log.insert_entry("to be or not to be")?;
    words.follow(&mut reader.tail(words.next)?, 6)?;

    // It is restarted, and continues with the leaf that it has not seen.
    log.insert_entry("that is the question")?;
    log.insert_entry("to be continued")?;
    words.follow(&mut reader.tail(words.next)?, 13)?;
    println!("{:?} up to leaf {}", words.counts, words.next);
    assert_eq!((words.counts["to"], words.counts["be"], words.next), (3, 3, LeafIndex(3)));
    store.close()?;
    Ok(())
}
