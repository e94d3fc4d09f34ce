"""Tables of Arrow and files of Parquet, read by DuckDB and Polars."""

import duckdb
import polars
import pyarrow
import pyarrow.parquet
import pytest

import duramen
import duramen.arrow


def leaf(number):
    return number.to_bytes(32, "big")


@pytest.fixture
def tree(tmp_path):
    with duramen.open(tmp_path / "log") as tree:
        tree.insert_many(b"".join(map(leaf, range(70_000))))[1].wait()
        yield tree


@pytest.fixture
def log(tmp_path):
    with duramen.open(tmp_path / "entries", entries=True) as log:
        log.insert_entries([f"GET /{number} {200 + number % 3}".encode() for number in range(1000)])[1].wait()
        yield log


def test_duckdb_and_polars_read_what_a_tree_has(tree, tmp_path):
    file = tmp_path / "leaves.parquet"
    reader = duramen.arrow.batches(tree)
    with pyarrow.parquet.ParquetWriter(file, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    counted = duckdb.sql(f"select count(*), min(index), max(index), min(leaf) from '{file}'").fetchall()[0]
    assert counted == (70_000, 0, 69_999, leaf(0))
    frame = polars.read_parquet(file)
    assert frame.schema["index"] == polars.UInt64 and frame.height == 70_000
    assert frame.filter(polars.col("index") == 66_000)["leaf"].to_list() == [leaf(66_000)]
    # Without a file as well.
    part = duramen.arrow.table(tree, 10, 20)
    assert duckdb.sql("select max(index) from part").fetchall()[0] == (19,)
    assert polars.from_arrow(part)["leaf"].to_list() == [leaf(number) for number in range(10, 20)]
    assert pyarrow.parquet.read_schema(file).metadata[b"hasher"] == b"blake3"


def test_entries_are_queried_and_come_back_as_the_same_tree(log, tmp_path):
    file = tmp_path / "entries.parquet"
    pyarrow.parquet.write_table(duramen.arrow.table(log), file)
    query = f"select count(*) from '{file}' where decode(entry) like '%200'"
    assert duckdb.sql(query).fetchall()[0] == (334,)
    with duramen.open(tmp_path / "copy", entries=True) as copy:
        assert duramen.arrow.insert(copy, pyarrow.parquet.read_table(file)).wait()
        assert copy.head() == log.head()
        with pytest.raises(duramen.InputError, match="does not continue"):
            duramen.arrow.insert(copy, pyarrow.parquet.read_table(file))
        assert duramen.arrow.insert(copy, pyarrow.parquet.read_table(file).slice(0, 0)) is None


def test_leaves_come_back_from_polars_and_duckdb_as_the_same_tree(tree, tmp_path):
    file = tmp_path / "leaves.parquet"
    pyarrow.parquet.write_table(duramen.arrow.table(tree), file)
    sources = {
        # Polars has no binary of a fixed length.
        "polars": polars.read_parquet(file).to_arrow(),
        "duckdb": duckdb.sql(f"select leaf from '{file}' order by index").to_arrow_table(),
        "slices": pyarrow.parquet.read_table(file),
    }
    sources["polars"] = sources["polars"].set_column(1, "leaf", sources["polars"]["leaf"].cast(pyarrow.binary()))
    for name, source in sources.items():
        with duramen.open(tmp_path / name) as copy:
            if name == "slices":
                duramen.arrow.insert(copy, source.slice(0, 12_345))
                duramen.arrow.insert(copy, source.slice(12_345))
            else:
                duramen.arrow.insert(copy, source)
            assert copy.head() == tree.head(), name


def test_heads_are_a_table(tree):
    heads = duramen.arrow.heads(tree, [0, 1, 70_000])
    assert heads["size"].to_pylist() == [0, 1, 70_000]
    assert heads["root"].to_pylist()[2] == tree.head().root


def test_what_does_not_fit_is_refused_and_changes_nothing(tree, log):
    size, entries = tree.size, log.size
    wrong = [
        (tree, pyarrow.table({"other": [1]}), "no column 'leaf'"),
        (tree, pyarrow.table({"leaf": [b"short"]}), "not 32"),
        (tree, pyarrow.table({"leaf": pyarrow.array([leaf(1), None], pyarrow.binary(32))}), "without a value"),
        (tree, pyarrow.table({"leaf": [leaf(1)], "index": [7]}), "does not continue"),
        (log, pyarrow.table({"leaf": [leaf(1)]}), "no column 'entry'"),
        (log, pyarrow.table({"leaf": [leaf(1)], "entry": [b"a"]}), "not the hash of its entry"),
    ]
    for one, source, why in wrong:
        with pytest.raises(duramen.InputError, match=why):
            duramen.arrow.insert(one, source)
    assert (tree.size, log.size) == (size, entries)


def test_what_is_not_durable_is_not_exported(tmp_path):
    with duramen.open(tmp_path / "manual", flush_interval=None) as tree:
        tree.insert(leaf(1))
        assert duramen.arrow.table(tree).num_rows == 0
        tree.flush()
        tree.insert_many(b"".join(map(leaf, range(2, 10))))
        tree.flush()
        tree.prune(4)
        assert duramen.arrow.table(tree)["index"].to_pylist() == list(range(4, 9))
