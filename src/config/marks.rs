//! What a mark does that finds no room.

/// What happens to a [mark](crate::Store::mark) where the store has as many as
/// [`Config::max_marks`](crate::Config::max_marks) allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MarkPolicy {
    /// The new mark is refused.
    #[default]
    Refuse,
    /// The oldest mark goes as the new one comes: a crash leaves the store with the old mark or with the new one. If the store
    /// has more marks than it may have, because it was opened with a lower limit than before, two go.
    DropOldest,
}
