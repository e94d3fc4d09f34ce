//! What the trees of a store have, and what a store shows of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use duramen::merkle::StoreHead;
use duramen::{
    Arity, Batch, Blake3, DynAccumulator, EntryConfig, Error, Frontier, Hash, Hasher, InsertedMany,
    MarkInfo, Rfc6962Sha256, Snapshot, Store, StoreReader, TreeConfig, TreeInfo,
};

use crate::findings::{Finding, Kind, Outcome};
use testkit::reference::{self, BLAKE3, Oracle, RFC6962};
use testkit::words::words;

thread_local! {
    /// The leaves that trees have lost to a prune, by id: no store shows them any more, and roots need them.
    static PRUNED: RefCell<BTreeMap<u32, Vec<Hash>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets what was pruned: another store is looked at.
pub(crate) fn forget_pruned() {
    PRUNED.with_borrow_mut(BTreeMap::clear);
}

/// The first `base` leaves of a tree that was pruned.
fn pruned(id: u32, base: u64) -> Outcome<Vec<Hash>> {
    let base = usize::try_from(base).unwrap();
    let known = PRUNED.with_borrow(|all| {
        all.get(&id).and_then(|leaves| leaves.get(..base).map(<[Hash]>::to_vec))
    });
    match known {
        Some(leaves) => Ok(leaves),
        None if base == 0 => Ok(Vec::new()),
        None => Err(Finding::new(
            Kind::Lost,
            format!("tree {id} begins at {base}, and was not pruned there"),
        )),
    }
}

/// One tree: its id, its kind, its leaves, those that were pruned too, whether it is sealed, which entries are erased, and
/// the first leaf that it has.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) id: u32,
    pub(crate) kind: usize,
    pub(crate) leaves: Vec<Hash>,
    pub(crate) sealed: bool,
    pub(crate) erased: BTreeSet<u64>,
    pub(crate) base: u64,
}

impl Tree {
    /// The next entry to erase, if the tree keeps entries.
    pub(crate) fn not_erased(&self) -> Option<u64> {
        let size = self.leaves.len() as u64;
        let mut from = (size / 3..size).chain(0..size / 3);
        from.find(|index| {
            keeps_entries(self.kind) && *index >= self.base && !self.erased.contains(index)
        })
    }

    /// What the calls that erase entries from `index` on erase, up to three of them.
    pub(crate) fn erase(&mut self, index: u64) -> std::ops::Range<u64> {
        let range = index..self.leaves.len().min(usize::try_from(index).unwrap() + 3) as u64;
        self.erased.extend(range.clone());
        range
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, kind, leaves, sealed, erased, base } = self;
        let sum = blake3::hash(leaves.as_flattened()).to_hex();
        let sealed = if *sealed { ", sealed" } else { "" };
        write!(f, "{id} of kind {kind}, {} leaves {}{sealed}", leaves.len(), &sum[..8])?;
        if *base > 0 {
            write!(f, " from {base} on")?;
        }
        if erased.is_empty() { Ok(()) } else { write!(f, ", erased {erased:?}") }
    }
}

/// All trees by name, and the marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    trees: BTreeMap<String, Tree>,
    /// Oldest first.
    marks: Vec<Mark>,
}

/// A mark: its name, and the sizes of the trees at its moment, but for those that were dropped since.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    name: String,
    sizes: BTreeMap<String, u64>,
}

impl State {
    /// Removes a tree, from the marks too.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Tree> {
        for mark in &mut self.marks {
            mark.sizes.remove(name);
        }
        self.trees.remove(name)
    }

    /// Sets a mark.
    pub(crate) fn mark(&mut self, name: &str) {
        let size = |(name, tree): (&String, &Tree)| (name.clone(), tree.leaves.len() as u64);
        let sizes = self.trees.iter().map(size).collect();
        self.marks.push(Mark { name: name.to_owned(), sizes });
    }

    /// Rewinds a tree. Returns the leaves that are dropped.
    pub(crate) fn rewind(&mut self, name: &str, size: u64) -> Vec<Hash> {
        let Some(tree) = self.trees.get_mut(name) else { return Vec::new() };
        tree.erased.retain(|index| *index < size);
        self.marks.retain(|mark| mark.sizes.get(name).is_none_or(|then| *then <= size));
        tree.leaves.split_off(usize::try_from(size).unwrap())
    }

    /// A new tree goes on behind `leaves`, which no store shows.
    pub(crate) fn begin(&mut self, name: &str, leaves: Vec<Hash>) {
        let base = leaves.len() as u64;
        if let Some(tree) = self.trees.get_mut(name) {
            tree.leaves = leaves;
        }
        self.prune(name, base);
    }

    /// Prunes a tree.
    pub(crate) fn prune(&mut self, name: &str, base: u64) {
        let Some(tree) = self.trees.get_mut(name) else { return };
        tree.base = tree.base.max(base);
        tree.erased.retain(|index| *index >= tree.base);
        let gone = &tree.leaves[..usize::try_from(tree.base).unwrap()];
        PRUNED.with_borrow_mut(|all| all.insert(tree.id, gone.to_vec()));
    }

    /// The sizes of all trees at one of the marks, in the middle of the list, with its name. Those of trees that were
    /// created later are 0.
    pub(crate) fn some_mark(&self) -> Option<(String, Vec<(String, u64)>)> {
        let mark = self.marks.get(self.marks.len() / 2)?;
        let size = |name: &String| (name.clone(), mark.sizes.get(name).copied().unwrap_or(0));
        Some((mark.name.clone(), self.trees.keys().map(size).collect()))
    }

    /// The name of the oldest mark.
    pub(crate) fn oldest_mark(&self) -> Option<String> {
        self.marks.first().map(|mark| mark.name.clone())
    }

    /// Removes the oldest mark.
    pub(crate) fn drop_oldest_mark(&mut self) {
        self.marks.remove(0);
    }
}

impl std::ops::Deref for State {
    type Target = BTreeMap<String, Tree>;

    fn deref(&self) -> &Self::Target {
        &self.trees
    }
}

impl std::ops::DerefMut for State {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.trees
    }
}

impl<'a> IntoIterator for &'a State {
    type Item = (&'a String, &'a Tree);
    type IntoIter = std::collections::btree_map::Iter<'a, String, Tree>;

    fn into_iter(self) -> Self::IntoIter {
        self.trees.iter()
    }
}

impl<'a> IntoIterator for &'a mut State {
    type Item = (&'a String, &'a mut Tree);
    type IntoIter = std::collections::btree_map::IterMut<'a, String, Tree>;

    fn into_iter(self) -> Self::IntoIter {
        self.trees.iter_mut()
    }
}

/// How many kinds of trees there are.
pub(crate) const KINDS: usize = 3;

fn kind(number: usize) -> (Arc<dyn Hasher>, Arity, Oracle) {
    match number {
        0 => (Arc::new(Blake3), Arity::Four, BLAKE3),
        1 => (Arc::new(Rfc6962Sha256), Arity::Two, RFC6962),
        _ => (Arc::new(Blake3), Arity::Sixteen, BLAKE3),
    }
}

pub(crate) fn tree_config(number: usize) -> TreeConfig {
    let (hasher, arity, _) = kind(number);
    let config = TreeConfig::new(hasher, arity);
    if keeps_entries(number) { config.entries(EntryConfig::new()).indexed() } else { config }
}

/// A tree of this kind that goes on behind `leaves`.
pub(crate) fn tree_behind(number: usize, leaves: &[Hash]) -> TreeConfig {
    let (hasher, arity, _) = kind(number);
    let mut frontier = Frontier::new(arity);
    frontier.append_many(&*hasher, leaves).unwrap();
    tree_config(number).begun_behind(frontier).unwrap()
}

/// Whether trees of this kind keep entries and have an index.
pub(crate) fn keeps_entries(number: usize) -> bool {
    number == 1
}

/// Leaves for a tree, with the entries that they are the hashes of, if the tree keeps entries.
pub(crate) struct New {
    pub(crate) leaves: Vec<Hash>,
    pub(crate) entries: Vec<Vec<u8>>,
}

impl New {
    /// Leaves for a tree of this kind: `seeds`, or entries that follow from them.
    pub(crate) fn of_kind(number: usize, seeds: Vec<Hash>) -> Self {
        if !keeps_entries(number) {
            return Self { leaves: seeds, entries: Vec::new() };
        }
        let entry = |seed: &Hash| {
            let len = 8 + usize::from(seed[0] / 2);
            seed.iter().copied().cycle().take(len).collect()
        };
        let entries: Vec<Vec<u8>> = seeds.iter().map(entry).collect();
        let (hasher, ..) = kind(number);
        let leaves = entries.iter().map(|entry| hasher.leaf(entry)).collect();
        Self { leaves, entries }
    }

    pub(crate) fn insert(&self, tree: &DynAccumulator) -> Result<InsertedMany, Error> {
        match &self.entries[..] {
            [] => tree.insert_many(&self.leaves),
            entries => tree.insert_entries(entries),
        }
    }

    pub(crate) fn add(&self, batch: &mut Batch, tree: &DynAccumulator) -> Result<(), Error> {
        if self.entries.is_empty() {
            batch.insert_many(tree, &self.leaves)?;
        }
        for entry in &self.entries {
            batch.insert_entry(tree, entry)?;
        }
        Ok(())
    }
}

/// The leaves of all trees together that were not pruned.
pub(crate) fn leaves_of(state: &State) -> u64 {
    state.values().map(|tree| tree.leaves.len() as u64 - tree.base).sum()
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn read(error: Error) -> Finding {
    Finding::new(Kind::Refused, words(&error))
}

/// What a store shows that was just opened. All of it is durable, and every root and proof is the one of
/// the leaves that it shows.
pub(crate) fn opened(store: &Store) -> Outcome<State> {
    let infos = store.trees().map_err(read)?;
    for info in &infos {
        if info.size != info.durable_size {
            let text = format!("{:?} shows what is not durable after an open", info.name);
            return Err(Finding::new(Kind::Answer, text));
        }
    }
    if store.durable_head().map_err(read)? != store.head().map_err(read)? {
        return Err(Finding::new(Kind::WrongRoot, "the durable head is another one after an open"));
    }
    shown(store)
}

/// What a store shows. Every root and proof is the one of the leaves that it shows.
pub(crate) fn shown(store: &Store) -> Outcome<State> {
    let infos = store.trees().map_err(read)?;
    let head = store.head().map_err(read)?;
    let snapshot = store.snapshot().map_err(read)?;
    if snapshot.head().map_err(read)? != head {
        return Err(Finding::new(Kind::WrongRoot, "the head of a snapshot is another one"));
    }
    let tree = |name: &str| {
        let tree = snapshot.tree(name).map_err(read)?;
        tree.ok_or_else(|| Finding::new(Kind::Answer, format!("{name} is not in the snapshot")))
    };
    let mut state = state_of(&infos, &head, tree)?;
    for mark in store.marks().map_err(read)? {
        let then = store.snapshot_at(&mark.name).map_err(read)?;
        check_mark(&mut state, &mark, then.head())?;
        for (name, size) in then.trees() {
            let tree = then.tree(name.as_str()).map_err(read)?.unwrap();
            let known = &state[name.as_str()];
            let leaves = &known.leaves[..usize::try_from(size.get()).unwrap()];
            if size.get() < known.base {
                continue;
            }
            check(&tree, known.kind, known.base, leaves)
                .map_err(|finding| finding.context(format_args!("at the mark {}", mark.name)))?;
        }
    }
    Ok(state)
}

/// Compares a mark with the leaves that the trees have, and adds it to `state`.
fn check_mark(state: &mut State, mark: &MarkInfo, head: Result<StoreHead, Error>) -> Outcome {
    let mut sizes = BTreeMap::new();
    let mut heads = Vec::new();
    let mut is_pruned = false;
    for (name, size) in &mark.trees {
        let tree = state.get(name.as_str()).filter(|tree| tree.leaves.len() as u64 >= size.get());
        let Some(tree) = tree else {
            let text = format!("{mark:?} has leaves of {name} that are not there");
            return Err(Finding::new(Kind::Phantom, text));
        };
        let (hasher, arity, oracle) = kind(tree.kind);
        let (arity, leaves) =
            (arity.children(), &tree.leaves[..usize::try_from(size.get()).unwrap()]);
        is_pruned |= size.get() < tree.base;
        heads.push((name, hasher.id(), arity, size.get(), oracle.root(arity, leaves)));
        sizes.insert(name.to_string(), size.get());
    }
    let heads: Vec<_> = heads
        .iter()
        .map(|(name, hasher, arity, size, root)| reference::TreeOfStore {
            name: name.as_str(),
            hasher: hasher.as_str(),
            arity: *arity,
            size: *size,
            root: *root,
        })
        .collect();
    match head {
        Err(Error::Pruned { .. }) if is_pruned => {}
        Ok(head) if !is_pruned && head.commitment() == reference::commitment(&heads) => {}
        Err(error) if !is_pruned => return Err(read(error)),
        _ => {
            let text = format!("the heads at the mark {} are others", mark.name);
            return Err(Finding::new(Kind::WrongRoot, text));
        }
    }
    state.marks.push(Mark { name: mark.name.to_string(), sizes });
    Ok(())
}

/// What a reader shows.
pub(crate) fn followed(reader: &StoreReader) -> Outcome<State> {
    let infos = reader.trees().map_err(read)?;
    let head = reader.head().map_err(read)?;
    let mut state = state_of(&infos, &head, |name| reader.tree(name).map_err(read))?;
    for mark in reader.marks().map_err(read)? {
        check_mark(&mut state, &mark, reader.head_at(&mark.name))?;
    }
    Ok(state)
}

/// The leaves of a tree that a reader knows to be durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownTree {
    pub(crate) id: u32,
    pub(crate) leaves: u64,
}

/// What a reader knows to be durable, by name.
pub(crate) type Known = BTreeMap<String, KnownTree>;

/// What `reader` knows to be durable: the leaves of trees that are among the durable heads. A tree that is dropped while a cut may
/// undo that is left out, and a new one of its name with it, until the new one has durable leaves of its own.
pub(crate) fn known_of(reader: &StoreReader) -> Outcome<Known> {
    let heads = reader.durable_head().map_err(read)?;
    let mut known = Known::new();
    for info in reader.trees().map_err(read)? {
        let leaves = info.durable_size.get();
        let head = heads.tree(info.name.as_str()).map(|tree| tree.head.size.get());
        if leaves > info.base.get() && head.is_none() {
            let text = format!("{info:?} has durable leaves and no durable head");
            return Err(Finding::new(Kind::Answer, text));
        }
        if leaves > info.base.get() && head == Some(leaves) {
            known.insert(info.name.to_string(), KnownTree { id: info.id, leaves });
        }
    }
    Ok(known)
}

/// What a reader knew to be durable is there after a power cut.
pub(crate) fn has_known(found: &State, known: &Known) -> Outcome {
    for (name, known) in known {
        let kept = found.get(name).filter(|tree| tree.id == known.id);
        let kept = kept.map_or(0, |tree| tree.leaves.len() as u64);
        if kept < known.leaves {
            let text = format!("{kept} leaves of {name}; a reader knew of {}", known.leaves);
            return Err(Finding::new(Kind::Lost, text));
        }
    }
    Ok(())
}

fn state_of(
    infos: &[TreeInfo],
    head: &StoreHead,
    tree: impl Fn(&str) -> Outcome<Snapshot>,
) -> Outcome<State> {
    let mut state = State::default();
    let mut heads = Vec::new();
    for info in infos {
        let name = info.name.as_str();
        let number = (0..KINDS).find(|number| {
            let (hasher, arity, _) = kind(*number);
            (hasher.id().as_str(), arity) == (&*info.hasher, info.arity)
        });
        let number = number
            .ok_or_else(|| Finding::new(Kind::Phantom, format!("a tree of no kind: {info:?}")))?;
        let snapshot = tree(name)?;
        let base = info.base.get();
        if snapshot.base() != info.base {
            let text = format!("{name} begins at {base} and at {}", snapshot.base());
            return Err(Finding::new(Kind::Answer, text));
        }
        let mut leaves = pruned(info.id, base)?;
        leaves.extend(snapshot.leaves(base..info.size.get()).map_err(read)?);
        check_pruned(&snapshot, base)?;
        if keeps_entries(number) && !info.indexed {
            return Err(Finding::new(Kind::Lost, format!("{name:?} has no index")));
        }
        let erased = match keeps_entries(number) {
            true => check_entries(&snapshot, base, &leaves)
                .and_then(|erased| check_found(&snapshot, base, &leaves).map(|()| erased))
                .map_err(|finding| finding.context(format_args!("in the tree {name:?}")))?,
            false => BTreeSet::new(),
        };
        if info.erased != erased.len() as u64 {
            let text =
                format!("{} erased entries of {name} are listed, not {erased:?}", info.erased);
            return Err(Finding::new(Kind::Answer, text));
        }
        let root = check(&snapshot, number, base, &leaves)
            .map_err(|finding| finding.context(format_args!("in the tree {name:?}")))?;
        heads.push(reference::TreeOfStore {
            name,
            hasher: &info.hasher,
            arity: info.arity.children(),
            size: info.size.get(),
            root,
        });
        let tree = Tree { id: info.id, kind: number, leaves, sealed: info.sealed, erased, base };
        state.insert(name.to_owned(), tree);
    }
    let commitment = head.commitment();
    if commitment != reference::commitment(&heads) {
        return Err(Finding::new(Kind::WrongRoot, "the commitment to the store is another one"));
    }
    for tree in &heads {
        let proof = head.prove(tree.name);
        let proven = proof.as_ref().and_then(|proof| proof.verify(&commitment).ok());
        if proven.is_none_or(|head| (head.size.get(), head.root) != (tree.size, tree.root)) {
            let text = format!("the proof of {:?} in the store", tree.name);
            return Err(Finding::new(Kind::WrongProof, text));
        }
    }
    Ok(state)
}

/// What lies below the base of a tree is refused, however it is asked for.
fn check_pruned(snapshot: &Snapshot, base: u64) -> Outcome {
    let Some(last) = base.checked_sub(1) else { return Ok(()) };
    let answers = [
        snapshot.leaf(last).map(drop),
        snapshot.leaf(0).map(drop),
        snapshot.head_at(last).map(drop),
        snapshot.prove(last).map(drop),
        snapshot.prove_consistency(last.max(1)).map(drop),
        snapshot.leaves(0..base).map(drop),
    ];
    for (at, answer) in answers.into_iter().enumerate() {
        if at == 4 && last == 0 {
            continue;
        }
        if !matches!(answer, Err(Error::Pruned { base: named, .. }) if named.get() == base) {
            let text = format!("question {at} about what is below {base}: {answer:?}");
            return Err(Finding::new(Kind::Phantom, text));
        }
    }
    Ok(())
}

/// Every entry from `base` on hashes to its leaf or is erased, whichever way it is read. Returns which are erased.
fn check_entries(snapshot: &Snapshot, base: u64, leaves: &[Hash]) -> Outcome<BTreeSet<u64>> {
    let size = leaves.len() as u64;
    let wrong = |index: u64| {
        let text = format!("entry {index} of {size} does not hash to its leaf");
        Err(Finding::new(Kind::Phantom, text))
    };
    let (mut read_so_far, mut erased) = (base, BTreeSet::new());
    let left = (base..).zip(&leaves[usize::try_from(base).unwrap()..]);
    for ((index, leaf), entry) in left.zip(snapshot.entries(base..size).map_err(read)?) {
        match entry {
            Err(Error::Erased { index: named, .. }) if named.get() == index => {
                erased.insert(index);
            }
            entry => {
                if snapshot.hasher().leaf(&entry.map_err(read)?) != *leaf {
                    return wrong(index);
                }
            }
        }
        read_so_far += 1;
    }
    let listed = snapshot.erasures().map_err(read)?;
    let listed = listed.into_iter().flat_map(|erasure| erasure.ranges).flatten();
    if listed.collect::<BTreeSet<_>>() != erased {
        return Err(Finding::new(Kind::Answer, format!("not {erased:?} are listed as erased")));
    }
    if read_so_far != size {
        return Err(Finding::new(Kind::Lost, format!("{read_so_far} entries of {size}")));
    }
    for index in [base, size / 2, size.saturating_sub(1)] {
        let Some(leaf) = leaves.get(usize::try_from(index).unwrap()) else { continue };
        if index < base {
            continue;
        }
        if erased.contains(&index) {
            match snapshot.entry(index) {
                Err(Error::Erased { .. }) => continue,
                answer => {
                    let text = format!("erased entry {index} of {size}: {answer:?}");
                    return Err(Finding::new(Kind::Answer, text));
                }
            }
        }
        if snapshot.hasher().leaf(&snapshot.entry(index).map_err(read)?) != *leaf {
            return wrong(index);
        }
    }
    Ok(erased)
}

/// Leaves are found where the first equal one is from `base` on, and one that is not there is not found.
fn check_found(snapshot: &Snapshot, base: u64, leaves: &[Hash]) -> Outcome {
    let size = leaves.len();
    let some = [0, size / 5, size / 2, size.saturating_sub(2), size.saturating_sub(1)];
    for leaf in some.into_iter().filter_map(|at| leaves.get(at)).chain([&[0xA5; 32]]) {
        let equal = (0..).zip(leaves).filter(|(_, other)| *other == leaf);
        let wanted: Vec<u64> =
            equal.map(|(index, _)| index).filter(|index| *index >= base).collect();
        let first = snapshot.find(leaf).map_err(read)?.map(|index| index.0);
        let found = snapshot.find_all(leaf).map_err(read)?;
        let found = found.map(|index| index.map(|index| index.0)).collect::<Result<Vec<_>, _>>();
        if first != wanted.first().copied() || found.map_err(read)? != wanted {
            let text = format!("a leaf is at {wanted:?} of {size}, and was found at {first:?}");
            return Err(Finding::new(Kind::Answer, text));
        }
    }
    Ok(())
}

/// Compares roots and proofs from `base` on with the reference; returns the root.
fn check(snapshot: &Snapshot, number: usize, base: u64, leaves: &[Hash]) -> Outcome<Hash> {
    let (_, arity, oracle) = kind(number);
    let arity = arity.children();
    let size = leaves.len();
    let levels = Rc::new(oracle.levels(arity, leaves));
    let base = usize::try_from(base).unwrap();
    let half = (size / 2).max(base);
    for past in [size, half, base] {
        let root = match past == size && size > 0 {
            true => levels.last().unwrap()[0],
            false => oracle.root(arity, &leaves[..past]),
        };
        if snapshot.head_at(past as u64).map_err(read)?.root != root {
            return Err(Finding::new(Kind::WrongRoot, format!("root at {past} of {size}")));
        }
    }
    for index in [base, size / 3, size.saturating_sub(1)] {
        if index < size && index >= base {
            let proof = snapshot.prove(index as u64).map_err(read)?;
            if proof.siblings() != reference::siblings(arity, &levels, index) {
                return Err(Finding::new(Kind::WrongProof, format!("leaf {index} of {size}")));
            }
        }
    }
    let proof = snapshot.prove_consistency(half as u64).map_err(read)?;
    if proof.hashes() != oracle.consistency(arity, leaves, half, true) {
        let text = format!("consistency of {half} with {size}");
        return Err(Finding::new(Kind::WrongProof, text));
    }
    Ok(oracle.root(arity, leaves))
}

/// The root of a tree by the definition.
pub(crate) fn root(tree: &Tree) -> Hash {
    let (_, arity, oracle) = kind(tree.kind);
    oracle.root(arity.children(), &tree.leaves)
}

/// The proof of leaf `index` by the definition.
pub(crate) fn siblings(tree: &Tree, index: usize) -> Vec<Hash> {
    let (_, arity, oracle) = kind(tree.kind);
    oracle.siblings(arity.children(), &tree.leaves, index)
}
