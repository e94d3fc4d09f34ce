//! One value for each of some trees, found by the tree's id.
//!
//! # Invariants
//!
//! - An id has at most one value. Ids are never used again, so a value that was found by an id is of that
//!   tree or of none.
//! - Finding one costs three lookups in arrays, however many trees there are. Pages without a value take
//!   eight bytes: of trees that were dropped nothing else stays.

use std::fmt;

use crate::ids::TreeId;

/// How many neighbouring ids share a page.
const PAGE: usize = 16;
/// How many neighbouring pages share a shelf. With all ids there are as many shelves, so that one id, however
/// high, takes 256 KiB at most: a file that was forged may name any.
const SHELF: usize = 1 << 14;
const _: () = assert!(PAGE * SHELF * SHELF == 1 << 32);

/// Values by tree.
#[derive(Clone)]
pub(crate) struct PerTree<T> {
    shelves: Vec<Shelf<T>>,
    len: usize,
}

type Shelf<T> = Vec<Option<Box<Page<T>>>>;
type Page<T> = [Option<T>; PAGE];

impl<T> Default for PerTree<T> {
    fn default() -> Self {
        Self { shelves: Vec::new(), len: 0 }
    }
}

/// Shelf, page and slot of an id.
#[inline]
fn place(id: TreeId) -> (usize, usize, usize) {
    let number = id.0 as usize;
    (number / (PAGE * SHELF), number / PAGE % SHELF, number % PAGE)
}

impl<T> PerTree<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get(&self, id: TreeId) -> Option<&T> {
        let (shelf, page, slot) = place(id);
        self.shelves.get(shelf)?.get(page)?.as_ref()?[slot].as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: TreeId) -> Option<&mut T> {
        let (shelf, page, slot) = place(id);
        self.shelves.get_mut(shelf)?.get_mut(page)?.as_mut()?[slot].as_mut()
    }

    /// Puts `value` in the place of `id` and returns what was there.
    pub(crate) fn insert(&mut self, id: TreeId, value: T) -> Option<T> {
        let (shelf, page, slot) = place(id);
        if self.shelves.len() <= shelf {
            self.shelves.resize_with(shelf + 1, Vec::new);
        }
        let shelf = &mut self.shelves[shelf];
        if shelf.len() <= page {
            shelf.resize_with(page + 1, || None);
        }
        let page = shelf[page].get_or_insert_with(|| Box::new([const { None }; PAGE]));
        let before = page[slot].replace(value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes the value of `id` out.
    pub(crate) fn remove(&mut self, id: TreeId) -> Option<T> {
        let (shelf, page, slot) = place(id);
        let page = self.shelves.get_mut(shelf)?.get_mut(page)?;
        let before = page.as_mut()?[slot].take();
        self.len -= usize::from(before.is_some());
        if page.as_ref().is_some_and(|page| page.iter().all(Option::is_none)) {
            *page = None;
        }
        before
    }

    /// The values, by rising id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TreeId, &T)> {
        let pages = self.shelves.iter().enumerate().flat_map(|(shelf, pages)| {
            let first = shelf * SHELF;
            pages
                .iter()
                .enumerate()
                .filter_map(move |(at, page)| Some((first + at, page.as_ref()?)))
        });
        pages.flat_map(|(at, page)| {
            page.iter().enumerate().filter_map(move |(slot, value)| {
                let id = u32::try_from(at * PAGE + slot).ok().map(TreeId)?;
                Some((id, value.as_ref()?))
            })
        })
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.shelves.iter().flatten().flatten().flat_map(|page| page.iter().flatten())
    }
}

impl<T> FromIterator<(TreeId, T)> for PerTree<T> {
    fn from_iter<I: IntoIterator<Item = (TreeId, T)>>(values: I) -> Self {
        let mut all = Self::default();
        for (id, value) in values {
            all.insert(id, value);
        }
        all
    }
}

impl<T: fmt::Debug> fmt::Debug for PerTree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(id, value)| (id.0, value))).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds_in_the_same_order(
            steps in proptest::collection::vec((0..100_u32, 0..4_u32, proptest::option::of(0..9_u8)), 0..200),
        ) {
            let (mut all, mut map) = (PerTree::default(), BTreeMap::new());
            for (id, far, value) in steps {
                // Neighbours, also across pages and shelves, and the highest ids there are.
                let id = (id + [0, 1 << 18, 1 << 31, 50][far as usize]).min(u32::MAX - id % 3 * far);
                let before = match value {
                    Some(value) => (all.insert(TreeId(id), value), map.insert(id, value)),
                    None => (all.remove(TreeId(id)), map.remove(&id)),
                };
                prop_assert_eq!(before.0, before.1);
                prop_assert_eq!(all.len(), map.len());
                prop_assert_eq!(all.is_empty(), map.is_empty());
                prop_assert_eq!(all.get(TreeId(id)), map.get(&id));
            }
            prop_assert!(all.iter().map(|(id, value)| (id.0, *value)).eq(map.clone()));
            prop_assert!(all.values().eq(map.values()));
        }
    }

    #[test]
    fn trees_that_are_gone_leave_no_page_behind() {
        let mut all = PerTree::default();
        for id in 0..1000 {
            all.insert(TreeId(id), [0_u8; 100]);
            all.remove(TreeId(id));
        }
        assert!(all.is_empty() && all.shelves.iter().flatten().all(Option::is_none));
    }
}
