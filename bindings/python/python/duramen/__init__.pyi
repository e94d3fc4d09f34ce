from collections.abc import Generator, Iterator, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, NamedTuple, Self, final

from typing_extensions import Buffer

__version__: str

class DuramenError(Exception):
    """The base of all exceptions of duramen. Each is a sentence with its facts."""

class VerifyError(DuramenError):
    """A proof or a signature does not hold, or cannot be read."""

class InputError(DuramenError):
    """What the caller gave cannot be used: a leaf of another length, a key that is none, an unknown hash function."""

class StoreError(DuramenError):
    """A call of a store failed."""

    kind: str
    """The name of the variant of the library's `Error`."""

class LockedError(StoreError):
    """The store is open already, here or in another process."""

class NotFoundError(StoreError):
    """There is no such store, tree or mark."""

class MismatchError(StoreError):
    """The tree was made with other properties than those that were asked for."""

class DamagedError(StoreError):
    """A file of the store is missing, or its bytes are wrong."""

class PoisonedError(StoreError):
    """The log could not be written. Reads go on; reopen the store once the cause is removed."""

class ClosedError(StoreError):
    """The store was closed, or belongs to the process that this one was forked from."""

class BackpressureError(StoreError):
    """There is no room. Nothing was inserted; retry later."""

class RangeError(StoreError):
    """The tree has no such index or size."""

class GoneError(StoreError):
    """What was asked for was erased, pruned, rewound or dropped."""

class DiskError(StoreError):
    """A call to the operating system failed."""

@final
class Head:
    """Size and root of a tree: what a proof is verified against."""

    def __init__(self, size: int, root: bytes) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def root(self) -> bytes: ...
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Token:
    """The receipt of an insert. `await token` and `token.wait()` return once the leaves are durable, and raise if the store
    fails or closes before. Cancelling the wait cancels nothing else: the leaves become durable all the same."""

    @property
    def is_durable(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool:
        """Returns True once the leaves are durable, and False after `timeout` seconds. Releases the interpreter's lock."""
    def __await__(self) -> Generator[Any, None, None]: ...

@final
class Appended:
    """A durable leaf that a tail returns."""

    @property
    def index(self) -> int: ...
    @property
    def leaf(self) -> bytes: ...
    @property
    def entry(self) -> bytes | None:
        """The data of the leaf. None if the tree keeps no entries, and if the entry was erased."""
    @property
    def erased(self) -> float | None:
        """The moment of the erasure, in seconds since 1970, if the entry was erased."""

@final
class Tail:
    """An iterator over the durable leaves of a tree that waits for more. It ends when no leaf can come any more: the tree
    is sealed, or the store is closed."""

    def __iter__(self) -> Iterator[Appended]: ...
    def __next__(self) -> Appended: ...
    def next(self, timeout: float | None = None) -> Appended | None:
        """The next leaf, for which the call waits at most `timeout` seconds. None if there is none by then, and at the end."""
    @property
    def next_index(self) -> int:
        """The index of the leaf that comes next: a tail from there continues this one."""

@final
class Tree:
    """A tree of a store. All calls may be made by any thread, and release the interpreter's lock while they wait."""

    @property
    def name(self) -> str: ...
    @property
    def hasher(self) -> str: ...
    @property
    def arity(self) -> int: ...
    @property
    def size(self) -> int:
        """How many leaves the tree has, durable or not."""
    @property
    def durable_size(self) -> int:
        """How many leaves survive a crash."""
    @property
    def base(self) -> int:
        """The first leaf that the tree has: those before it were pruned."""
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def hash_data(self, data: bytes) -> bytes:
        """The leaf of raw data."""
    def insert(self, leaf: bytes) -> tuple[int, Token]:
        """Appends a leaf of 32 bytes. Returns its index and the token. May wait for room."""
    def insert_durable(self, leaf: bytes) -> int:
        """Appends a leaf and returns its index once it is durable. Threads share fsyncs."""
    def try_insert(self, leaf: bytes) -> tuple[int, Token]:
        """As insert, but raises BackpressureError instead of waiting for room: for the thread of an event loop."""
    def insert_many(self, leaves: Buffer) -> tuple[tuple[int, int], Token]:
        """Appends the leaves that lie one after another in `leaves`: bytes, a bytearray, a memoryview or a numpy array of uint8
        in one piece. After a crash all of them are there or none. They are read where they lie: no thread may write to
        them during the call. Returns the first index and the one behind the last, and the token."""
    def insert_data(self, data: bytes) -> tuple[int, Token]:
        """Appends the leaf of raw data. A tree that keeps entries keeps the data."""
    def insert_entry(self, entry: bytes) -> tuple[int, Token]:
        """Appends an entry to a tree that keeps entries."""
    def insert_entry_durable(self, entry: bytes) -> int: ...
    def insert_entries(self, entries: Sequence[bytes]) -> tuple[tuple[int, int], Token]: ...
    def insert_unique(self, leaf: bytes) -> tuple[int, bool, Token]:
        """Appends a leaf unless the tree has one that is equal. Returns the index, whether it is new, and the token. The tree
        needs an index."""
    def insert_unique_entry(self, entry: bytes) -> tuple[int, bool, Token]: ...
    def add_index(self) -> Token:
        """Gives the tree an index, for find and insert_unique."""
    def find(self, leaf: bytes) -> int | None:
        """The index of the first leaf that is equal."""
    def find_all(self, leaf: bytes) -> list[int]: ...
    def flush(self) -> None:
        """Returns when everything inserted before the call is durable."""
    def flush_async(self) -> Token:
        """Requests a flush and returns at once."""
    def checkpoint(self) -> None: ...
    def snapshot_to(self, directory: str | PathLike[str]) -> None:
        """Copies the store while it is in use."""
    def rewind(self, size: int) -> None:
        """Drops the newest leaves, from index `size` on."""
    def prune(self, below: int) -> None:
        """Drops the oldest leaves, those below index `below`."""
    def head(self, size: int | None = None) -> Head:
        """The head now, or when the tree had `size` leaves. A crash may undo leaves that are not durable."""
    def durable_head(self) -> Head:
        """The head to sign and publish: no crash takes it back."""
    def prove(self, index: int, size: int | None = None) -> bytes:
        """The encoded proof of a leaf in the tree now, or when it had `size` leaves."""
    def prove_many(self, indexes: Sequence[int], size: int | None = None) -> bytes: ...
    def prove_consistency(self, old: int, new: int | None = None) -> bytes: ...
    def leaf(self, index: int) -> bytes: ...
    def leaves(self, start: int, stop: int) -> bytes:
        """The leaves of a range, one after another: `numpy.frombuffer(.., numpy.uint8).reshape(-1, 32)` has them as rows."""
    def entry(self, index: int) -> bytes: ...
    def entries(self, start: int, stop: int) -> list[bytes | None]:
        """The entries of a range. None for one that was erased."""
    @property
    def keeps_entries(self) -> bool:
        """Whether the tree keeps the data of its leaves."""
    def tail(self, start: int = 0) -> Tail:
        """Follows the tree: its durable leaves from index `start` on, and those that come."""
    def close(self) -> None:
        """Closes the store of the tree, with all its trees. Closing twice does nothing."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

@final
class StoreHead:
    """The heads of all trees of a store at one moment."""

    @property
    def commitment(self) -> bytes:
        """32 bytes that commit to all heads."""
    @property
    def trees(self) -> list[tuple[str, Head]]: ...
    def prove(self, name: str) -> bytes | None:
        """The encoded proof from the commitment to a tree, for verify_tree. None if there is no such tree."""

@final
class Store:
    """A directory with trees that share one log. It is closed by close, or when the last handle of it and of its trees is gone.

    flush_interval: seconds within which an insert becomes durable by itself; None flushes only when asked to.
    max_memory: about how many bytes the store may hold."""

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        create: bool = True,
        flush_interval: float | None = 0.01,
        max_memory: int | None = None,
    ) -> None: ...
    def tree(
        self, name: str = "main", *, hasher: str = "blake3", arity: int = 4, entries: bool = False, indexed: bool = False
    ) -> Tree:
        """Finds or creates a tree: blake3, rfc6962-sha256 or keccak256, and arity 2, 4, 8 or 16."""
    def existing_tree(self, name: str) -> Tree:
        """The tree of this name, whatever it was made with."""
    def trees(self) -> list[str]: ...
    def seal(self, name: str) -> Token:
        """The tree takes no more leaves."""
    def drop_tree(self, name: str) -> Token: ...
    def head(self) -> StoreHead: ...
    def durable_head(self) -> StoreHead: ...
    def flush(self) -> None: ...
    def flush_async(self) -> Token: ...
    def checkpoint(self) -> None: ...
    def snapshot_to(self, directory: str | PathLike[str]) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

@final
class Verifier:
    """A hash function and an arity: what a proof must be of. A method that returns has verified everything that its name says;
    it raises VerifyError otherwise."""

    def __init__(self, hasher: str, arity: int) -> None: ...
    def leaf(self, data: bytes) -> bytes: ...
    def empty_root(self) -> bytes: ...
    def verify_inclusion(self, head: Head, index: int, leaf: bytes, proof: bytes) -> None: ...
    def verify_inclusion_hashes(self, head: Head, index: int, leaf: bytes, siblings: bytes) -> None:
        """As verify_inclusion, with the hashes of the proof alone, one after another."""
    def verify_many(self, head: Head, leaves: Sequence[tuple[int, bytes]], proof: bytes) -> None: ...
    def verify_consistency(self, old: Head, new: Head, proof: bytes) -> None: ...
    def verify_consistency_hashes(self, old: Head, new: Head, proof: bytes) -> None: ...

class Signed(NamedTuple):
    """What a log signed, verified."""

    origin: str
    size: int
    root: bytes
    extensions: list[str]
    cosigned: list[int | None]
    """For each witness of the policy, in order, the time of its cosignature in seconds since 1970. Empty without a policy."""
    index: int | None

class ProvenTree(NamedTuple):
    """A tree of a store that a proof leads to. Whether it is the one that is meant is the caller's to compare."""

    name: str
    hasher: str
    arity: int
    size: int
    root: bytes

def open(
    path: str | PathLike[str],
    *,
    hasher: str = "blake3",
    arity: int = 4,
    entries: bool = False,
    indexed: bool = False,
    create: bool = True,
    flush_interval: float | None = 0.01,
    max_memory: int | None = None,
) -> Tree:
    """Opens a store with one tree, `main`."""

def verify_tree(commitment: bytes, proof: bytes) -> ProvenTree: ...
def verify_checkpoint(note: str, origin: str, keys: list[str]) -> Signed:
    """Verifies a checkpoint that one of `keys`, public texts of keys of the log, signed for the log `origin`."""

def verify_witnessed(note: str, policy: str) -> Signed:
    """Verifies a checkpoint against a policy (C2SP tlog-policy)."""

def verify_proof(text: str, origin: str, keys: list[str], leaf: bytes) -> Signed:
    """Verifies the text of a proof (C2SP tlog-proof) of `leaf`."""

def verify_witnessed_proof(text: str, policy: str, leaf: bytes) -> Signed: ...
