"""The store: what a program does with it."""

import asyncio
import os
import signal
import threading
import time

import numpy
import pytest

import duramen


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log"


def leaf(number):
    return number.to_bytes(32, "big")


def test_what_was_acknowledged_is_there_after_opening_again(path):
    with duramen.open(path) as tree:
        index, token = tree.insert(leaf(1))
        assert (index, token.wait()) == (0, True)
        assert token.is_durable and tree.durable_size == 1
        assert tree.insert_durable(leaf(2)) == 1
        assert tree.insert_data(b"data")[0] == 2
        assert tree.leaf(2) == tree.hash_data(b"data")
        head = tree.head()
    with duramen.open(path, create=False) as tree:
        assert (len(tree), tree.size, tree.head()) == (3, 3, head)
        assert tree.leaves(0, 2) == leaf(1) + leaf(2)
        assert tree.durable_head() == head


def test_batches_come_from_all_memory_in_one_piece_and_are_what_they_were(path):
    array = numpy.random.default_rng(7).integers(0, 256, (1000, 32), numpy.uint8)
    with duramen.open(path) as tree:
        parts = [array, array.tobytes(), bytearray(array.tobytes()), memoryview(array.tobytes())[32:]]
        ends = [tree.insert_many(part)[0] for part in parts]
        assert ends == [(0, 1000), (1000, 2000), (2000, 3000), (3000, 3999)]
        assert tree.insert_many(b"")[0] == (3999, 3999)
        read = numpy.frombuffer(tree.leaves(0, 1000), numpy.uint8).reshape(-1, 32)
        assert (read == array).all()
        assert tree.leaves(3000, 3999) == array.tobytes()[32:]
        with pytest.raises(duramen.InputError, match="one piece"):
            tree.insert_many(array[::2])
        with pytest.raises(duramen.InputError, match="33 bytes"):
            tree.insert_many(bytes(33))
        with pytest.raises(BufferError):
            tree.insert_many(array.astype(numpy.int64))
        with pytest.raises(TypeError):
            tree.insert_many("text")
        assert len(tree) == 3999


def test_a_batch_is_read_where_it_lies(path):
    """Peak memory grows by the columns of the tree, and not by a copy of the batch as well."""
    resource = pytest.importorskip("resource")
    leaves = numpy.zeros((2_000_000, 32), numpy.uint8)
    leaves[:] = 1
    with duramen.open(path) as tree:
        tree.insert_many(leaves[:1000])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tree.insert_many(leaves)[1].wait()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        # The columns take 4/3 of the leaves, and the log's buffers 64 MiB at most.
        assert grown < leaves.nbytes * 4 / 3 + (80 << 20)


def test_proofs_hold_at_past_sizes_and_not_for_others(path):
    verifier = duramen.Verifier("keccak256", 2)
    with duramen.open(path, hasher="keccak256", arity=2) as tree:
        tree.insert_many(b"".join(map(leaf, range(100))))
        past, now = tree.head(40), tree.head()
        verifier.verify_inclusion(past, 3, leaf(3), tree.prove(3, 40))
        verifier.verify_inclusion(now, 3, leaf(3), tree.prove(3))
        verifier.verify_many(now, [(99, leaf(99)), (5, leaf(5))], tree.prove_many([99, 5]))
        verifier.verify_consistency(past, now, tree.prove_consistency(40))
        for wrong in (
            lambda: verifier.verify_inclusion(now, 3, leaf(3), tree.prove(3, 40)),
            lambda: verifier.verify_inclusion(now, 4, leaf(3), tree.prove(3)),
            lambda: duramen.Verifier("blake3", 2).verify_inclusion(now, 3, leaf(3), tree.prove(3)),
        ):
            with pytest.raises(duramen.VerifyError):
                wrong()


def test_entries_are_kept_and_found(path):
    with duramen.open(path, entries=True, indexed=True) as tree:
        assert tree.insert_entries([b"a", b"b", b""])[0] == (0, 3)
        index, token = tree.insert_entry(b"GET / 200")
        assert tree.entry(index) == b"GET / 200" and token.wait()
        assert tree.insert_entry_durable(b"c") == 4
        assert tree.find(tree.hash_data(b"b")) == 1 and tree.find(leaf(9)) is None
        assert tree.insert_unique_entry(b"a")[:2] == (0, False)
        assert tree.insert_unique_entry(b"d")[:2] == (5, True)
        assert tree.find_all(tree.hash_data(b"d")) == [5]
        with pytest.raises(duramen.InputError):
            tree.insert(leaf(1))


def test_errors_have_types_the_name_of_the_variant_and_a_sentence(path):
    with pytest.raises(duramen.NotFoundError) as missing:
        duramen.open(path, create=False)
    assert missing.value.kind == "NoStore" and str(path) in str(missing.value)
    with duramen.open(path) as tree:
        with pytest.raises(duramen.LockedError) as locked:
            duramen.open(path)
        assert str(os.getpid()) in str(locked.value)
        with pytest.raises(duramen.RangeError):
            tree.prove(0)
        with pytest.raises(duramen.InputError):
            tree.insert(b"short")
        with pytest.raises(duramen.InputError, match="no index"):
            tree.find(leaf(1))
    with pytest.raises(duramen.ClosedError):
        tree.insert(leaf(1))
    with pytest.raises(duramen.MismatchError) as other:
        duramen.open(path, arity=2)
    assert other.value.kind == "ArityMismatch"
    for wrong in ({"hasher": "md5"}, {"arity": 3}, {"flush_interval": 0.0}, {"flush_interval": -1.0}, {"max_memory": 1}):
        with pytest.raises(duramen.InputError):
            duramen.open(path, **wrong)
    # None of them left the store locked.
    duramen.open(path).close()


def test_damage_is_an_error_and_never_another_root(path):
    with duramen.open(path) as tree:
        tree.insert_many(bytes(32 * 100_000))
        tree.checkpoint()
    [part] = [file for file in path.rglob("*.part")]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(duramen.DamagedError, match=part.name):
        with duramen.open(path) as tree:
            for index in range(100_000):
                tree.prove(index)


def test_a_store_has_trees_and_one_commitment(path):
    with duramen.Store(path, flush_interval=None) as store:
        notes = store.tree("notes")
        receipts = store.tree("receipts", hasher="rfc6962-sha256", arity=2)
        notes.insert(leaf(1))
        receipts.insert_many(leaf(2) + leaf(3))
        assert notes.durable_size == 0
        store.flush()
        assert notes.durable_size == 1 and sorted(store.trees()) == ["notes", "receipts"]
        head = store.durable_head()
        proven = duramen.verify_tree(head.commitment, head.prove("receipts"))
        assert (proven.name, proven.size, proven.root) == ("receipts", 2, receipts.head().root)
        assert head.prove("other") is None and dict(head.trees)["notes"] == notes.head()
        assert store.seal("notes").wait(0) is False
        store.flush()
        with pytest.raises(duramen.StoreError, match="sealed"):
            notes.insert(leaf(1))
        assert store.existing_tree("receipts").arity == 2
        with pytest.raises(duramen.NotFoundError):
            store.existing_tree("other")
        store.drop_tree("notes")
    with pytest.raises(duramen.ClosedError):
        store.flush()
    store.close()


def test_a_wait_ends_in_time_under_manual_flushes(path):
    with duramen.open(path, flush_interval=None) as tree:
        token = tree.insert(leaf(1))[1]
        begun = time.monotonic()
        assert token.wait(0.2) is False and 0.2 <= time.monotonic() - begun < 5
        assert not token.is_durable
        tree.flush()
        assert token.wait() and "durable=True" in repr(token)
        with pytest.raises(ValueError):
            token.wait(-1)
        lost = tree.insert(leaf(2))[1]
    assert lost.wait()  # Closing flushes.


def test_other_threads_run_while_a_call_waits(path):
    with duramen.open(path, flush_interval=None) as tree:
        token = tree.insert(leaf(1))[1]
        waited = []
        waiter = threading.Thread(target=lambda: waited.append(token.wait()))
        waiter.start()
        count, begun = 0, time.monotonic()
        while time.monotonic() - begun < 0.3:
            count += 1
        assert waiter.is_alive() and count > 1000
        tree.flush()
        waiter.join(10)
        assert waited == [True]


def test_threads_that_insert_durably_all_get_an_index_of_their_own(path):
    with duramen.open(path) as tree:
        indexes = []
        threads = [
            threading.Thread(target=lambda n=n: [indexes.append(tree.insert_durable(leaf(100 * n + k))) for k in range(20)])
            for n in range(8)
        ]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert sorted(indexes) == list(range(160)) and tree.durable_size == 160


def test_a_tail_returns_what_is_there_and_what_comes_and_then_ends(path):
    store = duramen.Store(path)
    tree = store.tree(entries=True)
    tree.insert_entries([b"a", b"b"])
    seen = []
    tail = tree.tail(1)
    follower = threading.Thread(target=lambda: seen.extend((one.index, one.entry) for one in tail))
    follower.start()
    time.sleep(0.1)
    tree.insert_entry(b"c")
    store.seal("main")
    follower.join(10)
    assert not follower.is_alive() and seen == [(1, b"b"), (2, b"c")]
    assert tail.next_index == 3
    first = next(tree.tail())
    assert (first.index, first.leaf, first.erased) == (0, tree.leaf(0), None)
    store.close()


def test_a_tail_waits_no_longer_than_it_may(path):
    with duramen.open(path) as tree:
        tail = tree.tail()
        begun = time.monotonic()
        assert tail.next(0.2) is None and time.monotonic() - begun < 5
        tree.insert_durable(leaf(1))
        assert tail.next(10).leaf == leaf(1)


def test_tokens_are_awaited(path):
    async def work(tree):
        tokens = [tree.insert(leaf(number))[1] for number in range(2000)]
        await asyncio.gather(*(wait(token) for token in tokens))
        assert tree.durable_size == 2000
        # A loop runs meanwhile.
        ticks = 0
        waiting = asyncio.ensure_future(wait(tree.insert(leaf(0))[1]))
        while not waiting.done():
            ticks += 1
            await asyncio.sleep(0)
        await waiting
        assert ticks > 1
        await tree.flush_async()

    async def wait(token):
        await token

    with duramen.open(path) as tree:
        asyncio.run(work(tree), debug=True)


def test_a_wait_that_is_cancelled_loses_nothing(path):
    async def work(tree):
        index, token = tree.insert(leaf(1))
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(0.05):
                await token
        assert not token.is_durable
        flushed = tree.flush_async()
        await token  # The same token, awaited again.
        await flushed
        assert tree.leaf(index) == leaf(1)

    with duramen.open(path, flush_interval=None) as tree:
        asyncio.run(work(tree), debug=True)


def test_a_loop_that_ends_before_its_token_does_no_harm(path):
    async def give_up(tree):
        task = asyncio.ensure_future(wait(tree.insert(leaf(1))[1]))
        await asyncio.sleep(0.01)
        task.cancel()

    async def wait(token):
        await token

    with duramen.open(path, flush_interval=None) as tree:
        asyncio.run(give_up(tree))
        tree.flush()
        assert tree.durable_size == 1


def test_a_token_of_a_failed_store_raises_where_it_is_awaited(path):
    store = duramen.Store(path, flush_interval=None)
    tree = store.tree()
    tree.flush()
    token = tree.insert(leaf(1))[1]

    async def work():
        waiting = asyncio.ensure_future(wait(token))
        await asyncio.sleep(0.02)
        await asyncio.to_thread(tree.rewind, 0)
        await waiting

    async def wait(token):
        await token

    with pytest.raises(duramen.GoneError, match="rewound"):
        asyncio.run(work(), debug=True)
    store.close()


def test_a_forked_child_cannot_use_the_store(path):
    with duramen.open(path) as tree:
        tree.insert_durable(leaf(1))
        child = os.fork()
        if child == 0:
            try:
                tree.insert(leaf(2))
            except duramen.ClosedError as error:
                os._exit(7 if error.kind == "Forked" else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert len(tree) == 1


def test_a_forked_child_does_not_wait_for_the_threads_of_its_parent(path):
    store = duramen.Store(path)
    tree = store.tree()
    tail = tree.tail()
    follower = threading.Thread(target=lambda: list(tail))
    follower.start()
    tree.insert_durable(leaf(1))
    while tail.next_index == 0:
        time.sleep(0.001)
    for _ in range(20):
        child = os.fork()
        if child == 0:
            # The child dies if it waits.
            signal.alarm(20)
            for call in (lambda: tail.next(0), store.head, store.close):
                try:
                    call()
                    os._exit(1)
                except duramen.ClosedError as error:
                    if error.kind != "Forked":
                        os._exit(2)
            os._exit(7 if tail.next_index == 1 else 3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    store.close()
    follower.join()


def test_threads_that_share_a_tail_get_each_leaf_once(path):
    with duramen.open(path) as tree:
        tail = tree.tail()
        found = []

        def follow():
            while (appended := tail.next(timeout=20)) is not None:
                found.append(appended.index)
                if len(found) >= 200:
                    return

        threads = [threading.Thread(target=follow) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(202):
            tree.insert(leaf(number))
        for thread in threads:
            thread.join()
        assert sorted(found) == list(range(len(found))) and len(found) >= 200
        assert tail.next_index == len(found)


def test_a_closed_store_says_that_it_is_closed(path):
    store = duramen.Store(path)
    tree = store.tree()
    store.close()
    for call in (store.head, lambda: tree.insert(leaf(1))):
        with pytest.raises(duramen.ClosedError) as closed:
            call()
        assert closed.value.kind == "Closed"


def test_a_tree_without_leaves_is_true(path):
    with duramen.open(path) as tree:
        assert tree and len(tree) == 0


def test_the_last_handle_closes_the_store(path):
    tree = duramen.open(path)
    tree.insert(leaf(1))
    tree = None
    with duramen.open(path) as tree:
        assert len(tree) == 1


def test_copies_prunes_and_rewinds(path, tmp_path):
    with duramen.open(path) as tree:
        tree.insert_many(b"".join(map(leaf, range(10))))
        tree.snapshot_to(tmp_path / "copy")
        tree.rewind(8)
        tree.prune(3)
        assert (tree.size, tree.base) == (8, 3)
        with pytest.raises(duramen.GoneError) as pruned:
            tree.leaf(2)
        assert pruned.value.kind == "Pruned"
    with duramen.open(tmp_path / "copy") as copy:
        assert copy.size == 10
