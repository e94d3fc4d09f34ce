"""Leaves, entries and heads as tables of Arrow, and tables back into a tree. Needs the package `pyarrow`.

Arrow is what DuckDB, Polars and pandas read without a copy, and `pyarrow.parquet` writes it to files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow

from . import InputError, Token, Tree

__all__ = ["batches", "heads", "insert", "schema", "table"]

ROWS = 1 << 16
_HASH = pyarrow.binary(32)


def schema(tree: Tree) -> pyarrow.Schema:
    """The columns of a tree: index, leaf, and entry if it keeps entries."""
    fields = [pyarrow.field("index", pyarrow.uint64(), nullable=False), pyarrow.field("leaf", _HASH, nullable=False)]
    if tree.keeps_entries:
        # Null if the entry was erased.
        fields.append(pyarrow.field("entry", pyarrow.binary()))
    return pyarrow.schema(fields, {"hasher": tree.hasher, "arity": str(tree.arity), "tree": tree.name})


def batches(tree: Tree, start: int | None = None, stop: int | None = None, *, rows: int = ROWS) -> pyarrow.RecordBatchReader:
    """The leaves from `start`, the first that the tree has, to `stop`, its durable size now. Reads `rows` at a time."""
    start = tree.base if start is None else start
    stop = tree.durable_size if stop is None else stop
    columns = schema(tree)

    def read() -> Iterator[pyarrow.RecordBatch]:
        for first in range(start, stop, rows):
            last = min(first + rows, stop)
            leaves = pyarrow.py_buffer(tree.leaves(first, last))
            arrays = [
                pyarrow.array(range(first, last), pyarrow.uint64()),
                pyarrow.Array.from_buffers(_HASH, last - first, [None, leaves]),
            ]
            if tree.keeps_entries:
                arrays.append(pyarrow.array(tree.entries(first, last), pyarrow.binary()))
            yield pyarrow.RecordBatch.from_arrays(arrays, schema=columns)

    return pyarrow.RecordBatchReader.from_batches(columns, read())


def table(tree: Tree, start: int | None = None, stop: int | None = None) -> pyarrow.Table:
    """As batches, all in memory."""
    return batches(tree, start, stop).read_all()


def heads(tree: Tree, sizes: Iterable[int]) -> pyarrow.Table:
    """The heads that the tree had at these sizes: the columns size and root."""
    found = [tree.head(size) for size in sizes]
    sizes = pyarrow.array([head.size for head in found], pyarrow.uint64())
    roots = pyarrow.array([head.root for head in found], _HASH)
    return pyarrow.table({"size": sizes, "root": roots})


def insert(tree: Tree, source: pyarrow.Table | pyarrow.RecordBatchReader) -> Token | None:
    """Appends the rows of a table: the column entry for a tree that keeps entries, else the column leaf, 32 bytes each, which
    are read where they lie. Returns the token of the last batch, and None if there is no row.

    A column index must say where the rows come to lie. For a tree that keeps entries, a column leaf is compared with the hashes of
    the entries. A batch of the source is inserted as a whole or not at all; batches before one that is refused are
    there.
    """
    kept = tree.keeps_entries
    column = "entry" if kept else "leaf"
    if column not in source.schema.names:
        raise InputError(f"the table has no column {column!r}")
    token = None
    for batch in source.to_batches() if isinstance(source, pyarrow.Table) else source:
        if batch.num_rows == 0:
            continue
        values = batch.column(column)
        if values.null_count:
            raise InputError(f"the column {column!r} has {values.null_count} rows without a value")
        if "index" in batch.schema.names:
            size, indexes = tree.size, batch.column("index").to_pylist()
            if indexes != list(range(size, size + len(indexes))):
                raise InputError(f"the column 'index' does not continue a tree of size {size}")
        if kept:
            entries = values.to_pylist()
            if "leaf" in batch.schema.names:
                for row, (leaf, entry) in enumerate(zip(batch.column("leaf").to_pylist(), entries)):
                    if leaf != tree.hash_data(entry):
                        raise InputError(f"the leaf of row {row} of a batch is not the hash of its entry")
            token = tree.insert_entries(entries)[1]
        else:
            if values.type != _HASH:
                lengths = {len(leaf) for leaf in values.to_pylist()}
                if lengths != {32}:
                    raise InputError(f"the leaves have {sorted(lengths)} bytes, not 32")
                values = values.cast(_HASH)
            leaves = memoryview(values.buffers()[1]).cast("B")[32 * values.offset : 32 * (values.offset + len(values))]
            token = tree.insert_many(leaves)[1]
    return token
