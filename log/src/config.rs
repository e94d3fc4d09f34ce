//! What a log is made of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use duramen::tlog::{AnyVerifier, NoteSigner, Signer};
use duramen::{EntryConfig, TreeName};

use crate::anchor::Anchor;
use crate::error::LogError;
use crate::gate::Asked;
use crate::witnesses::WitnessPolicy;

/// A key that signs the checkpoints of a log, from any thread.
pub type LogSigner = Arc<dyn NoteSigner + Send + Sync>;

/// A key that signs receipts, from any thread.
pub type ReceiptSigner = Arc<dyn Signer + Send + Sync>;

/// What a log is made of.
pub struct LogConfig {
    pub(crate) tree: TreeName,
    pub(crate) origin: String,
    pub(crate) signers: Vec<LogSigner>,
    pub(crate) public_keys: Vec<AnyVerifier>,
    pub(crate) anchor: Box<dyn Anchor>,
    pub(crate) asked: Asked,
    pub(crate) unique: bool,
    pub(crate) entries: Option<EntryConfig>,
    pub(crate) interval: Duration,
    pub(crate) most_waiting: usize,
    pub(crate) minimum_index: u64,
    pub(crate) receipts: Option<(ReceiptSigner, Vec<u8>)>,
    pub(crate) witnesses: Option<WitnessPolicy>,
}

impl LogConfig {
    /// The log in the tree `tree`, with the name `origin`. `signer` is the log's own key, whose name is the origin too;
    /// `anchor` keeps the last head that could be signed, and is outside the store.
    #[must_use]
    pub fn new(
        tree: TreeName,
        origin: impl Into<String>,
        signer: LogSigner,
        anchor: Box<dyn Anchor>,
    ) -> Self {
        Self {
            tree,
            origin: origin.into(),
            signers: vec![signer],
            public_keys: Vec::new(),
            anchor,
            asked: Asked::default(),
            unique: true,
            entries: None,
            interval: Duration::from_secs(1),
            most_waiting: 64 << 20,
            minimum_index: 0,
            receipts: None,
            witnesses: None,
        }
    }

    /// Signs with one more key, whatever its name is: the log's own of another type, or that of a cosigner.
    #[must_use]
    pub fn signer(mut self, signer: LogSigner) -> Self {
        self.signers.push(signer);
        self
    }

    /// Shows this public key to those who look at the log's page: first that of the log, then those of its cosigners and
    /// witnesses. They are not compared with the signers.
    #[must_use]
    pub fn public_key(mut self, key: AnyVerifier) -> Self {
        self.public_keys.push(key);
        self
    }

    /// Gives COSE receipts, of the checkpoint that stands, that this Ed25519 key signs: the log's own, best. `key_id`
    /// becomes their header `kid`.
    #[must_use]
    pub fn receipts(self, signer: ReceiptSigner, key_id: impl Into<Vec<u8>>) -> Self {
        Self { receipts: Some((signer, key_id.into())), ..self }
    }

    /// Says that the log's key never signed a head, so that there is no anchor yet. Without it a missing anchor is an
    /// error, and with it an existing one.
    #[must_use]
    pub fn first_anchor(mut self, first: bool) -> Self {
        self.asked.first = first;
        self
    }

    /// Says that the log has moved to this store, so that the anchor names another one. The tree must have the anchor's
    /// head all the same. The old store can then not be opened as this log any more.
    #[must_use]
    pub fn adopt_store(mut self, adopt: bool) -> Self {
        self.asked.adopt = adopt;
        self
    }

    /// Whether an entry that the log has is answered with its index instead of being inserted again (default: yes).
    #[must_use]
    pub fn unique(self, unique: bool) -> Self {
        Self { unique, ..self }
    }

    /// How a new tree keeps its entries. An existing tree keeps what it has.
    #[must_use]
    pub fn entries(self, entries: EntryConfig) -> Self {
        Self { entries: Some(entries), ..self }
    }

    /// The shortest time between two checkpoints (default: one second).
    #[must_use]
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// How many bytes of entries may wait to be inserted (default: 64 MiB).
    #[must_use]
    pub fn most_waiting(self, bytes: usize) -> Self {
        Self { most_waiting: bytes, ..self }
    }

    /// Publishes a checkpoint only once enough witnesses have cosigned it. Until then the one before stands.
    #[must_use]
    pub fn witnesses(self, policy: WitnessPolicy) -> Self {
        Self { witnesses: Some(policy), ..self }
    }

    /// The smallest index that the log publishes (default: 0), at most the size of the log. Full tiles and bundles that end
    /// at or below it are not served any more. They stay in the store.
    #[must_use]
    pub fn minimum_index(self, index: u64) -> Self {
        Self { minimum_index: index, ..self }
    }

    /// Refuses a log of which readers would not find the key: C2SP `tlog-policy` wants its name to be the origin.
    pub(crate) fn check_names(&self) -> Result<(), LogError> {
        let names = self.signers.iter().map(|signer| signer.name());
        match names.clone().find(|name| *name == self.origin) {
            Some(_) => Ok(()),
            None => Err(LogError::KeyName {
                origin: self.origin.clone(),
                found: names.map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

impl fmt::Debug for LogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.signers.iter().map(|signer| signer.name()).collect();
        f.debug_struct("LogConfig")
            .field("tree", &self.tree)
            .field("origin", &self.origin)
            .field("signers", &names)
            .field("anchor", &self.anchor)
            .finish_non_exhaustive()
    }
}
