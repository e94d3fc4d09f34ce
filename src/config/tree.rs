//! The permanent settings of a tree.

use std::fmt;
use std::sync::Arc;

use crate::entry::EntryConfig;
use crate::error::{Error, Result};
use crate::merkle::{Arity, Frontier, Hasher};
use crate::tree_spec::LARGEST_ORIGIN;

/// The settings with which a tree is created. They never change.
///
/// ```
/// use std::sync::Arc;
/// use duramen::{Arity, Blake3, TreeConfig};
///
/// let chosen = TreeConfig::new(Arc::new(Blake3), Arity::Sixteen);
/// assert_eq!(chosen.arity(), TreeConfig::of::<Blake3, 16>().arity());
/// ```
#[derive(Clone)]
pub struct TreeConfig {
    pub(crate) hasher: Arc<dyn Hasher>,
    pub(crate) arity: Arity,
    pub(crate) entries: Option<EntryConfig>,
    pub(crate) indexed: bool,
    pub(crate) origin: Option<Arc<Frontier>>,
}

impl TreeConfig {
    /// A tree with this hash function and this arity.
    #[must_use]
    pub fn new(hasher: Arc<dyn Hasher>, arity: Arity) -> Self {
        Self { hasher, arity, entries: None, indexed: false, origin: None }
    }

    /// A tree with hash function `H` and `N` children per node. `N` must be 2, 4, 8 or 16, which is
    /// checked at compile time.
    #[must_use]
    pub fn of<H: Hasher + Default, const N: usize>() -> Self {
        Self::new(Arc::new(H::default()), Arity::of::<N>())
    }

    /// The same tree, but one that keeps the data of its leaves: its *entries*. Such a tree takes entries
    /// and no bare leaves.
    ///
    /// Opening a tree that exists keeps its settings. It fails with
    /// [`Error::EntriesMismatch`](crate::Error::EntriesMismatch) if `entries` differs from them; without
    /// this call it never does.
    ///
    /// ```
    /// use duramen::{EntryConfig, Rfc6962Sha256, TreeConfig};
    ///
    /// let log = TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new());
    /// assert_eq!(log.entry_config(), Some(EntryConfig::new()));
    /// ```
    #[must_use]
    pub fn entries(self, entries: EntryConfig) -> Self {
        Self { entries: Some(entries), ..self }
    }

    /// The same tree, but with an index: [`find`](crate::DynAccumulator::find) finds its leaves by their hash, and
    /// [`insert_unique`](crate::DynAccumulator::insert_unique) inserts only what it does not have.
    ///
    /// A tree that exists without an index is given one, for good. The indexes of its parts are written in the
    /// background. Until they are, a search reads all leaves of the parts that lack one. Without this call an existing
    /// tree keeps what it has.
    ///
    /// An index takes about 7 bytes of disk for each leaf, and 9 bytes of memory for each leaf that no part has yet.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Config, Rfc6962Sha256, Store, TreeConfig};
    ///
    /// let store = Store::open(Config::new(dir.path().join("log")))?;
    /// let log = store.tree_dyn("certificates", TreeConfig::of::<Rfc6962Sha256, 2>().indexed())?;
    /// log.insert_many(&[[1; 32], [2; 32]])?;
    /// assert_eq!(log.find(&[2; 32])?.map(|index| index.0), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn indexed(self) -> Self {
        Self { indexed: true, ..self }
    }

    /// The same tree, but one that goes on behind `frontier`: its first leaf is the one behind those of the frontier. What lies
    /// before is as if it had been [pruned](crate::DynAccumulator::prune): roots, inclusion proofs and consistency proofs of
    /// sizes and indexes from there on are those of the whole tree, and everything below is
    /// [`Error::Pruned`](crate::Error::Pruned). So a tree can move to another store, or begin a new one, without its past.
    ///
    /// The frontier is taken on trust. Compare its [`head`](Frontier::head) with a head that you trust, such as the one that the
    /// old tree was [sealed](crate::Store::seal) with. An empty frontier makes an ordinary tree.
    ///
    /// The leaves of the frontier count as durable from the start, because the tree never has fewer. The tree itself is
    /// durable when [`created`](crate::DynAccumulator::created) is: a crash before that leaves no tree. The durable heads
    /// [of a store](crate::Store::durable_head) have a tree from then on.
    ///
    /// Opening a tree that exists fails with [`Error::OtherBeginning`](crate::Error::OtherBeginning) if its first leaves are
    /// others, as far as that can be seen: not if it was pruned above the frontier. A tree of SHA-256 and arity 2 has none of the
    /// [tiles](crate::Snapshot::tile) with a hash from below the frontier.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Blake3, Config, Store, TreeConfig};
    ///
    /// let old = Store::open(Config::new(dir.path().join("old")))?;
    /// let full = old.tree::<Blake3, 4>("shard")?;
    /// full.insert_many(&vec![[1; 32]; 1000])?;
    /// old.seal("shard")?;
    ///
    /// let new = Store::open(Config::new(dir.path().join("new")))?;
    /// let config = TreeConfig::of::<Blake3, 4>().begun_behind(full.frontier()?)?;
    /// let shard = new.tree_dyn("shard", config)?;
    /// assert_eq!(shard.head()?, full.head()?);
    /// let index = shard.insert([2; 32])?.index;
    /// assert_eq!(index.get(), 1000);
    /// shard.prove_consistency(1000)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the frontier is of a tree with another arity, or has more than 2^60 leaves.
    pub fn begun_behind(self, frontier: Frontier) -> Result<Self> {
        let size = frontier.size().get();
        if frontier.arity() != self.arity {
            let (has, wanted) = (frontier.arity().children(), self.arity.children());
            let reason =
                format!("the frontier is of a tree of arity {has}, this one has arity {wanted}");
            return Err(Error::config("begun_behind", reason));
        }
        if size > LARGEST_ORIGIN {
            let reason = format!("{size} leaves; at most {LARGEST_ORIGIN} are possible");
            return Err(Error::config("begun_behind", reason));
        }
        Ok(Self { origin: (size > 0).then(|| Arc::new(frontier)), ..self })
    }

    /// What the tree begins behind, if not with its first leaf.
    #[must_use]
    pub fn origin(&self) -> Option<&Frontier> {
        self.origin.as_deref()
    }

    /// How entries are kept, if they are.
    #[must_use]
    pub fn entry_config(&self) -> Option<EntryConfig> {
        self.entries
    }

    /// The hash function.
    #[must_use]
    pub fn hasher(&self) -> &dyn Hasher {
        &*self.hasher
    }

    /// How many children a complete node has.
    #[must_use]
    pub fn arity(&self) -> Arity {
        self.arity
    }
}

impl fmt::Debug for TreeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeConfig")
            .field("hasher", &self.hasher.id())
            .field("arity", &self.arity)
            .field("entries", &self.entries)
            .field("indexed", &self.indexed)
            .field("origin", &self.origin.as_ref().map(|origin| origin.size()))
            .finish()
    }
}
