//! The logs that a witness cosigns for, as text. Pure.
//!
//! The format is the log list of the public witness network:
//!
//! ```text
//! logs/v0
//! vkey example.com/log+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k
//! origin another name, if it is not that of the key
//! qpd 86400
//! contact operator@example.com
//! ```
//!
//! `qpd` and `contact` may be missing, and nothing follows from them. A second key of one origin makes both trusted.

use std::collections::BTreeMap;

use duramen::tlog::{AnyVerifier, NoteVerifier, TlogError};

/// The logs that a witness cosigns for, each with the keys that are trusted for it.
///
/// ```
/// use duramen_log::KnownLogs;
///
/// let text = "logs/v0\nvkey example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n";
/// let logs = KnownLogs::read(text)?;
/// assert_eq!(logs.iter().map(|(origin, _)| origin).collect::<Vec<_>>(), ["example.com/foo"]);
/// # Ok::<(), duramen_log::LogListError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownLogs(BTreeMap<String, Vec<AnyVerifier>>);

/// The first line of a list.
const HEADER: &str = "logs/v0";

/// A log of which the lines are being read.
struct Begun {
    line: usize,
    key: AnyVerifier,
    origin: Option<String>,
    /// How many of the words that may follow were there already.
    place: usize,
}

/// The words of a log, in their order.
const WORDS: [&str; 4] = ["vkey", "origin", "qpd", "contact"];

impl KnownLogs {
    /// Reads a list of logs.
    ///
    /// # Errors
    ///
    /// [`LogListError`] with the first line that is wrong.
    pub fn read(text: &str) -> Result<Self, LogListError> {
        let mut logs = Self::default();
        let mut begun: Option<Begun> = None;
        let mut headed = false;
        for (line, text) in (1..).zip(text.lines()) {
            let failed = |kind| LogListError { line, kind };
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if !headed {
                headed = text == HEADER;
                if headed {
                    continue;
                }
                return Err(failed(LogListErrorKind::NoHeader));
            }
            let (word, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            let value = value.trim();
            let Some(place) = WORDS.iter().position(|known| *known == word) else {
                return Err(failed(LogListErrorKind::UnknownWord { word: word.to_owned() }));
            };
            if value.is_empty() {
                return Err(failed(LogListErrorKind::NoValue { word: WORDS[place] }));
            }
            if place == 0 {
                logs.take(begun.take())?;
                let key = value.parse().map_err(LogListErrorKind::Key).map_err(failed)?;
                begun = Some(Begun { line, key, origin: None, place });
                continue;
            }
            match &mut begun {
                Some(log) if log.place < place => {
                    log.place = place;
                    if word == "origin" {
                        log.origin = Some(value.to_owned());
                    }
                }
                _ => return Err(failed(LogListErrorKind::Order { word: WORDS[place] })),
            }
        }
        if !headed {
            return Err(LogListError { line: 1, kind: LogListErrorKind::NoHeader });
        }
        logs.take(begun)?;
        Ok(logs)
    }

    /// Adds a log that was read to its end.
    fn take(&mut self, begun: Option<Begun>) -> Result<(), LogListError> {
        let Some(Begun { line, key, origin, .. }) = begun else { return Ok(()) };
        let origin = origin.unwrap_or_else(|| key.name().to_owned());
        let keys = self.0.entry(origin).or_default();
        if keys.iter().any(|known| known.public_key() == key.public_key()) {
            return Err(LogListError { line, kind: LogListErrorKind::SameKey });
        }
        keys.push(key);
        Ok(())
    }

    /// The origins with the keys that are trusted for them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[AnyVerifier])> {
        self.0.iter().map(|(origin, keys)| (origin.as_str(), keys.as_slice()))
    }

    pub(super) fn into_map(self) -> BTreeMap<String, Vec<AnyVerifier>> {
        self.0
    }
}

/// Why a list of logs cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct LogListError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub kind: LogListErrorKind,
}

/// What is wrong with a line of a list of logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogListErrorKind {
    /// The list does not begin with its header.
    #[error("a list of logs begins with the line {HEADER:?}")]
    NoHeader,
    /// The line begins with a word that has no meaning.
    #[error("{word:?} is none of vkey, origin, qpd and contact")]
    UnknownWord {
        /// The word.
        word: String,
    },
    /// Nothing stands behind the word.
    #[error("nothing stands behind {word:?}")]
    NoValue {
        /// The word.
        word: &'static str,
    },
    /// The word stands before its log's key, or behind a word that it must precede, or twice.
    #[error(
        "the lines of a log are vkey, origin, qpd and contact in this order; {word:?} is out of it"
    )]
    Order {
        /// The word.
        word: &'static str,
    },
    /// The key cannot be read.
    #[error("the key cannot be read: {0}")]
    Key(#[source] TlogError),
    /// The key stands there already for the same log.
    #[error("the same log has the same key a second time")]
    SameKey,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use duramen::tlog::Ed25519Signer;

    use super::*;

    fn vkey(name: &str, secret: u8) -> String {
        Ed25519Signer::from_secret(name, &[secret; 32]).unwrap().verifier().to_string()
    }

    fn kind(text: &str) -> (usize, LogListErrorKind) {
        let LogListError { line, kind } = KnownLogs::read(text).unwrap_err();
        (line, kind)
    }

    #[test]
    fn a_list_is_read_as_the_witness_network_writes_it() {
        let text = format!(
            "#\n# Revision: 123\n\nlogs/v0\n\n# 1st\nvkey {}\nqpd 86400\ncontact https://a/b c\n\
             vkey {}\norigin go.sum database tree\nqpd 24\ncontact x\n  vkey {}  \n",
            vkey("tlog.foo.org", 1),
            vkey("bar.org/tlog", 2),
            vkey("tlog.foo.org", 3)
        );
        let logs = KnownLogs::read(&text).unwrap();
        let found: Vec<_> = logs.iter().map(|(origin, keys)| (origin, keys.len())).collect();
        assert_eq!(found, [("go.sum database tree", 1), ("tlog.foo.org", 2)]);
        assert_eq!(KnownLogs::read("logs/v0\n").unwrap(), KnownLogs::default());
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        let key = vkey("a", 1);
        assert_eq!(kind(""), (1, LogListErrorKind::NoHeader));
        assert_eq!(kind("logs/v1\n"), (1, LogListErrorKind::NoHeader));
        let word = "VKEY".to_owned();
        assert_eq!(kind("logs/v0\nVKEY x\n"), (2, LogListErrorKind::UnknownWord { word }));
        assert_eq!(kind("logs/v0\nqpd 1\n"), (2, LogListErrorKind::Order { word: "qpd" }));
        assert_eq!(kind("logs/v0\nvkey\n"), (2, LogListErrorKind::NoValue { word: "vkey" }));
        let order = |lines: &str| kind(&format!("logs/v0\nvkey {key}\n{lines}"));
        let origin = LogListErrorKind::Order { word: "origin" };
        assert_eq!(order("qpd 1\norigin a\n"), (4, origin.clone()));
        assert_eq!(order("origin a\norigin a\n"), (4, origin));
        assert_eq!(order(&format!("vkey {key}\n")), (3, LogListErrorKind::SameKey));
        assert!(matches!(order("vkey a+b+c\n"), (3, LogListErrorKind::Key(_))));
    }
}
