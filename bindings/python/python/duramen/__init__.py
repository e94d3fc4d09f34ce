"""duramen: an append-only, persistent Merkle accumulator, and the verifier of its proofs."""

from __future__ import annotations

from os import PathLike
from typing import NamedTuple

from . import _duramen
from ._duramen import (
    Appended,
    BackpressureError,
    ClosedError,
    DamagedError,
    DiskError,
    DuramenError,
    GoneError,
    Head,
    InputError,
    LockedError,
    MismatchError,
    NotFoundError,
    PoisonedError,
    RangeError,
    Store,
    StoreError,
    StoreHead,
    Tail,
    Token,
    Tree,
    Verifier,
    VerifyError,
    __version__,
)

__all__ = [
    "Appended",
    "BackpressureError",
    "ClosedError",
    "DamagedError",
    "DiskError",
    "DuramenError",
    "GoneError",
    "Head",
    "InputError",
    "LockedError",
    "MismatchError",
    "NotFoundError",
    "PoisonedError",
    "ProvenTree",
    "RangeError",
    "Signed",
    "Store",
    "StoreError",
    "StoreHead",
    "Tail",
    "Token",
    "Tree",
    "Verifier",
    "VerifyError",
    "__version__",
    "open",
    "verify_checkpoint",
    "verify_proof",
    "verify_tree",
    "verify_witnessed",
    "verify_witnessed_proof",
]


class Signed(NamedTuple):
    """What a log signed, verified."""

    origin: str
    size: int
    root: bytes
    extensions: list[str]
    cosigned: list[int | None]
    index: int | None


class ProvenTree(NamedTuple):
    """A tree of a store that a proof leads to."""

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
    store = Store(path, create=create, flush_interval=flush_interval, max_memory=max_memory)
    try:
        return store.tree("main", hasher=hasher, arity=arity, entries=entries, indexed=indexed)
    except BaseException:
        store.close()
        raise


def verify_tree(commitment: bytes, proof: bytes) -> ProvenTree:
    return ProvenTree(**_duramen.verify_tree(commitment, proof))


def verify_checkpoint(note: str, origin: str, keys: list[str]) -> Signed:
    return Signed(**_duramen.verify_checkpoint(note, origin, keys))


def verify_witnessed(note: str, policy: str) -> Signed:
    return Signed(**_duramen.verify_witnessed(note, policy))


def verify_proof(text: str, origin: str, keys: list[str], leaf: bytes) -> Signed:
    return Signed(**_duramen.verify_proof(text, origin, keys, leaf))


def verify_witnessed_proof(text: str, policy: str, leaf: bytes) -> Signed:
    return Signed(**_duramen.verify_witnessed_proof(text, policy, leaf))
