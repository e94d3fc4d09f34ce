//! Memory that requests and answers take, of all clients together.
//!
//! A body that is still coming, and a long answer that is still being sent, can be given up for others. So clients that send
//! or take slowly do not keep the memory from the others. The one with the greatest *claim* is given up first: its bytes
//! times the time since it began. A body that was sent at once has next to none.
//!
//! # Invariants
//!
//! - What is held is at most the limit, and answers hold at most their part of it: clients that do not take their answers
//!   leave room for entries.
//! - A request that would hold more than there is gets the memory of bodies and answers with a greater claim than its own.
//!   Without them it is refused and not kept waiting: it would hold what it has meanwhile.
//! - The memory of what is given up is free at once, whatever its client does.
//! - What was taken is given back when its [`Held`] is dropped, or the last of the [`Bytes`] that it was bound to.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::answer::Failed;

/// What is counted at once: a small request takes this much.
const UNIT: usize = 1 << 10;
/// Answers hold at most three of four parts.
const ANSWERS: (usize, usize) = (3, 4);
/// When something is given up, this part of the memory is made free at least, so that it is not done for each piece that
/// comes.
const AT_ONCE: usize = 32;
/// How often room is made for one request, if others take it each time.
const TURNS: usize = 100;
/// What of an answer is handed on at a time. A shorter answer is handed on at once, and is not given up.
const PIECE: usize = 64 << 10;

/// The memory that all requests share.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// All of it, in units, and what answers may hold of it.
    all: Part,
    answers: Part,
    moving: Mutex<Moving>,
}

#[derive(Debug)]
struct Part {
    units: usize,
    free: Arc<Semaphore>,
}

/// What is coming or being sent, and can be given up.
#[derive(Debug, Default)]
struct Moving {
    next: u64,
    slots: BTreeMap<u64, Arc<Slot>>,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        let part = |units| Part { units, free: Arc::new(Semaphore::new(units)) };
        let answers = part((units / ANSWERS.1 * ANSWERS.0).max(1));
        Self(Arc::new(Shared { all: part(units), answers, moving: Mutex::default() }))
    }

    fn empty(&self) -> Held {
        Held { room: self.clone(), bytes: 0, all: None, answer: None }
    }

    /// Holds a body that came whole.
    pub(super) fn request(&self, body: Bytes) -> Result<(Bytes, Held), Failed> {
        let mut held = self.empty();
        held.grow(body.len(), 0)?;
        Ok((body, held))
    }

    /// Holds an answer until it was sent.
    pub(super) fn answer(&self, bytes: Vec<u8>) -> Result<Bytes, Failed> {
        let mut held = self.empty();
        held.grow_for_answer(bytes.len())?;
        Ok(held.bind(bytes))
    }

    /// Sends `bytes`. If they are many, they can be given up meanwhile.
    pub(super) fn send(&self, bytes: Bytes) -> Body {
        let left = bytes.len();
        match left <= PIECE {
            true => Body::from(bytes),
            false => Body::new(Leaving { left, entry: self.enter(Content::Answer(bytes)) }),
        }
    }

    /// A body of which nothing came yet.
    pub(super) fn coming(&self) -> Coming {
        let (first, rest, held) = (Bytes::new(), BytesMut::new(), self.empty());
        Coming(self.enter(Content::Body(Pieces { first, rest, held })))
    }

    fn enter(&self, content: Content) -> Entry {
        let content = Mutex::new(Some(content));
        let slot = Arc::new(Slot { begun: Instant::now(), content, given_up: Notify::new() });
        let mut moving = self.moving();
        moving.next += 1;
        let id = moving.next;
        moving.slots.insert(id, Arc::clone(&slot));
        drop(moving);
        Entry { room: self.clone(), id, slot }
    }

    fn moving(&self) -> MutexGuard<'_, Moving> {
        self.0.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes units for something with this claim, if need be from what has a greater one.
    fn take(&self, of: Of, units: usize, claim: u128) -> Result<OwnedSemaphorePermit, Failed> {
        let part = self.part(of);
        let permit = || {
            let units = u32::try_from(units).map_err(|_| full())?;
            Arc::clone(&part.free).try_acquire_many_owned(units).map_err(|_| full())
        };
        // Others may take what was made free before this does. Then more is given up.
        for _ in 0..TURNS {
            if let Ok(permit) = permit() {
                return Ok(permit);
            }
            if !self.make_room(of, units, claim) {
                break;
            }
        }
        permit()
    }

    /// Gives up what has a greater claim, until so many units are free. Returns whether they were.
    fn make_room(&self, of: Of, units: usize, claim: u128) -> bool {
        let part = self.part(of);
        let (moving, now) = (self.moving(), Instant::now());
        let known = moving.slots.values().filter_map(|slot| Some((slot, slot.len(of)?)));
        let known = known.map(|(slot, len)| (claim_of(len, slot.begun, now), len, slot));
        let mut greater: Vec<_> = known.filter(|(other, ..)| *other > claim).collect();
        let most: usize = greater.iter().map(|(_, len, _)| len.div_ceil(UNIT)).sum();
        // Nothing is given up in vain.
        if part.free.available_permits().saturating_add(most) < units {
            return false;
        }
        greater.sort_unstable_by_key(|(claim, ..)| Reverse(*claim));
        let wanted = units.max(part.units / AT_ONCE);
        for (.., slot) in greater {
            if part.free.available_permits() >= wanted {
                return true;
            }
            slot.give_up();
        }
        part.free.available_permits() >= units
    }

    fn part(&self, of: Of) -> &Part {
        match of {
            Of::All => &self.0.all,
            Of::Answers => &self.0.answers,
        }
    }

    /// Bytes that may be taken now.
    #[cfg(test)]
    fn free(&self) -> usize {
        self.0.all.free.available_permits() * UNIT
    }
}

/// What units are taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    All,
    Answers,
}

fn full() -> Failed {
    let message = "the server has no memory for this request at the moment";
    Failed::later(StatusCode::SERVICE_UNAVAILABLE, message, 1)
}

/// Bytes that a request or an answer takes.
#[derive(Debug)]
pub(super) struct Held {
    room: Room,
    bytes: usize,
    all: Option<OwnedSemaphorePermit>,
    answer: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Holds this many bytes more. An answer of so many bytes then certainly finds room.
    pub(super) fn grow_for_answer(&mut self, bytes: usize) -> Result<(), Failed> {
        self.grow(bytes, 0)?;
        self.answer = Some(self.room.take(Of::Answers, bytes.div_ceil(UNIT), 0)?);
        Ok(())
    }

    fn grow(&mut self, bytes: usize, claim: u128) -> Result<(), Failed> {
        let all = self.bytes.saturating_add(bytes);
        let units = all.div_ceil(UNIT) - self.bytes.div_ceil(UNIT);
        if units > 0 {
            let more = self.room.take(Of::All, units, claim)?;
            match &mut self.all {
                Some(permit) => permit.merge(more),
                none => *none = Some(more),
            }
        }
        self.bytes = all;
        Ok(())
    }

    /// Bytes of an answer, which alone are held until they were sent.
    pub(super) fn bind(mut self, bytes: Vec<u8>) -> Bytes {
        self.bytes = self.bytes.min(bytes.len());
        let units = self.bytes.div_ceil(UNIT);
        for permit in [&mut self.all, &mut self.answer].into_iter().flatten() {
            let more = permit.num_permits().saturating_sub(units);
            drop(permit.split(more));
        }
        Bytes::from_owner(Bound { bytes, _held: self })
    }
}

/// Something that is in the list while it comes or is sent.
#[derive(Debug)]
struct Entry {
    room: Room,
    id: u64,
    slot: Arc<Slot>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let slot = self.room.moving().slots.remove(&self.id);
        // Its memory is given back without the lock.
        drop(slot);
    }
}

#[derive(Debug)]
struct Slot {
    begun: Instant,
    /// `None` once it was given up, and while a piece is added to it.
    content: Mutex<Option<Content>>,
    given_up: Notify,
}

#[derive(Debug)]
enum Content {
    Body(Pieces),
    Answer(Bytes),
}

impl Slot {
    fn content(&self) -> MutexGuard<'_, Option<Content>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes it holds of this part, if it holds any.
    fn len(&self, of: Of) -> Option<usize> {
        match self.content().as_ref()? {
            Content::Answer(bytes) => Some(bytes.len()),
            Content::Body(pieces) => (of == Of::All).then_some(pieces.held.bytes),
        }
    }

    fn give_up(&self) {
        if self.content().take().is_some() {
            self.given_up.notify_one();
        }
    }
}

/// Bytes times microseconds.
fn claim_of(bytes: usize, begun: Instant, now: Instant) -> u128 {
    (bytes as u128).saturating_mul(now.saturating_duration_since(begun).as_micros())
}

/// A body that is coming. Others may take its memory meanwhile.
#[derive(Debug)]
pub(super) struct Coming(Entry);

/// What came of a body.
#[derive(Debug)]
struct Pieces {
    first: Bytes,
    /// Everything that came, once there is more than one piece.
    rest: BytesMut,
    held: Held,
}

impl Coming {
    /// Adds a piece.
    pub(super) fn push(&self, piece: Bytes) -> Result<(), Failed> {
        let slot = &self.0.slot;
        // Taken out meanwhile: the search for memory looks at all that could be given up, and not at what asks.
        let mut pieces = self.take()?;
        let claim = claim_of(pieces.held.bytes + piece.len(), slot.begun, Instant::now());
        pieces.held.grow(piece.len(), claim)?;
        pieces.push(piece);
        *slot.content() = Some(Content::Body(pieces));
        Ok(())
    }

    /// Returns once the body was given up.
    pub(super) async fn given_up(&self) -> Failed {
        self.0.slot.given_up.notified().await;
        displaced()
    }

    /// The whole body, and the memory that it takes.
    pub(super) fn finish(self) -> Result<(Bytes, Held), Failed> {
        let pieces = self.take()?;
        let whole = if pieces.rest.is_empty() { pieces.first } else { pieces.rest.freeze() };
        Ok((whole, pieces.held))
    }

    fn take(&self) -> Result<Pieces, Failed> {
        match self.0.slot.content().take() {
            Some(Content::Body(pieces)) => Ok(pieces),
            _ => Err(displaced()),
        }
    }
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = piece;
            return;
        }
        if self.rest.is_empty() {
            self.rest = BytesMut::from(&std::mem::take(&mut self.first)[..]);
        }
        self.rest.extend_from_slice(&piece);
    }
}

fn displaced() -> Failed {
    let message = "the body came slowly, and others needed its memory";
    Failed::later(StatusCode::SERVICE_UNAVAILABLE, message, 1)
}

/// A long answer that is being sent, in pieces that are copied: what the connection still has of an answer that is given
/// up is short.
#[derive(Debug)]
struct Leaving {
    entry: Entry,
    left: usize,
}

/// The connection ends, so that its client sees that the answer is not whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was taken slowly, and others needed its memory")]
struct GivenUp;

impl hyper::body::Body for Leaving {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = match &*self.entry.slot.content() {
            Some(Content::Answer(bytes)) => {
                let behind = &bytes[bytes.len() - self.left..];
                Bytes::copy_from_slice(&behind[..behind.len().min(PIECE)])
            }
            _ => return Poll::Ready(Some(Err(GivenUp))),
        };
        self.left -= piece.len();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

struct Bound {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Bound {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::*;

    fn piece(units: usize) -> Bytes {
        Bytes::from(vec![7; units * UNIT])
    }

    #[test]
    fn what_is_held_is_bounded_and_comes_back_when_it_is_dropped() {
        let room = Room::new(10 * UNIT);
        let held = |bytes| {
            let mut held = room.empty();
            held.grow(bytes, 0).map(|()| held)
        };
        let mut one = held(4 * UNIT).unwrap();
        one.grow(1, 0).unwrap();
        assert_eq!(room.free(), 5 * UNIT);
        // What was rounded up is there for more.
        one.grow(UNIT - 1, 0).unwrap();
        assert_eq!(room.free(), 5 * UNIT);
        assert!(held(5 * UNIT + 1).is_err());
        let rest = held(5 * UNIT).unwrap();
        assert!(one.grow(1, 0).is_err() && held(1).is_err());
        drop(held(0).unwrap());
        drop((one, rest));
        assert_eq!(room.free(), 10 * UNIT);
        assert!(held(usize::MAX).is_err());
    }

    #[test]
    fn answers_are_held_until_they_were_sent_and_leave_room_for_requests() {
        let room = Room::new(8 * UNIT);
        let bytes = room.answer(vec![7; 6 * UNIT]).unwrap();
        let part = bytes.slice(1..2);
        drop(bytes);
        assert_eq!((room.free(), &part[..]), (2 * UNIT, &[7][..]));
        room.answer(vec![7]).unwrap_err();
        let mut request = room.empty();
        request.grow(2 * UNIT, 0).unwrap();
        drop(part);
        assert_eq!(room.free(), 6 * UNIT);
        // What requests hold is not there for answers.
        request.grow(3 * UNIT, 0).unwrap();
        room.answer(vec![7; 4 * UNIT]).unwrap_err();
        drop(room.answer(vec![7; 3 * UNIT]).unwrap());
    }

    #[test]
    fn a_request_with_its_answer_holds_no_more_than_the_answer() {
        let room = Room::new(16 * UNIT);
        let mut held = room.empty();
        held.grow(8 * UNIT, 0).unwrap();
        held.grow_for_answer(4 * UNIT).unwrap();
        assert_eq!(room.free(), 4 * UNIT);
        let answer = held.bind(vec![7; UNIT + 1]);
        assert_eq!((room.free(), room.0.answers.free.available_permits()), (14 * UNIT, 10));
        drop(answer);
        assert_eq!((room.free(), room.0.answers.free.available_permits()), (16 * UNIT, 12));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_taken_is_given_up_for_others() {
        let room = Room::new(4 * PIECE);
        let long = room.answer(vec![7; 2 * PIECE]).unwrap();
        let mut slow = room.send(long);
        let piece = slow.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(piece.len(), PIECE);
        tokio::time::advance(Duration::from_secs(1)).await;
        let other = room.answer(vec![8; 2 * PIECE]).unwrap();
        slow.frame().await.unwrap().unwrap_err();
        let sent = room.send(other).collect().await.unwrap().to_bytes();
        assert_eq!(sent, vec![8; 2 * PIECE]);
        drop((slow, piece, sent));
        assert_eq!(room.free(), 4 * PIECE);
        assert!(room.moving().slots.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_body_with_the_greatest_claim_is_given_up_first() {
        let room = Room::new(10 * UNIT);
        let (small, large, new) = (room.coming(), room.coming(), room.coming());
        small.push(piece(1)).unwrap();
        large.push(piece(6)).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        new.push(piece(2)).unwrap();
        let fresh = room.coming();
        fresh.push(piece(4)).unwrap();
        large.given_up().await;
        large.push(piece(1)).unwrap_err();
        large.finish().unwrap_err();
        assert_eq!(room.free(), 3 * UNIT);
        let ([small, new, fresh], room) = ([small, new, fresh].map(Coming::finish), room);
        let lens = [small, new, fresh].map(|body| body.unwrap().0.len() / UNIT);
        assert_eq!((lens, room.free()), ([1, 2, 4], 10 * UNIT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_takes_no_memory_of_those_with_a_smaller_claim() {
        let room = Room::new(10 * UNIT);
        let (one, other) = (room.coming(), room.coming());
        one.push(piece(6)).unwrap();
        other.push(piece(4)).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        one.push(piece(1)).unwrap_err();
        assert_eq!(room.free(), 6 * UNIT, "what could not grow has ended");
        other.push(piece(6)).unwrap();
        assert_eq!(other.finish().unwrap().0.len(), 10 * UNIT);
        drop(one);
        assert!(room.moving().slots.is_empty());
    }

    #[test]
    fn what_was_made_free_for_a_request_and_taken_by_another_is_made_free_again() {
        use std::sync::atomic::{AtomicBool, Ordering};

        let room = Room::new(16 * UNIT);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut coming = std::collections::VecDeque::new();
                    while !stop.load(Ordering::Relaxed) {
                        let body = room.coming();
                        let _ = body.push(piece(1));
                        coming.push_back(body);
                        coming.drain(..coming.len().saturating_sub(16));
                    }
                });
            }
            let refused =
                (0..1_000_000).filter(|_| room.empty().grow(4 * UNIT, 0).is_err()).count();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(refused, 0);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_whole_is_not_given_up() {
        let room = Room::new(10 * UNIT);
        let whole = room.coming();
        whole.push(piece(6)).unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
        let (bytes, held) = whole.finish().unwrap();
        let mut other = room.empty();
        other.grow(5 * UNIT, 0).unwrap_err();
        drop((bytes, held));
        other.grow(5 * UNIT, 0).unwrap();
    }
}
