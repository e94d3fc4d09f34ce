"""The program of the Rust side and the binding read each other's stores and proofs."""

import os
import subprocess
from pathlib import Path

import pytest

import duramen

PROGRAM = os.environ.get("DURAMEN_PROGRAM") or Path(__file__).parents[3] / "target" / "debug" / "duramen"


@pytest.fixture(autouse=True)
def program():
    if not Path(PROGRAM).exists():
        assert "DURAMEN_TEST_NO_SKIP" not in os.environ, f"there is no {PROGRAM}"
        pytest.skip(f"there is no {PROGRAM}: cargo build")


def run(*args, input=None):
    done = subprocess.run([PROGRAM, *map(str, args)], input=input, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_the_program_reads_what_the_binding_wrote(tmp_path):
    leaves = b"".join(number.to_bytes(32, "big") for number in range(500))
    with duramen.open(tmp_path / "log", hasher="rfc6962-sha256", arity=2) as tree:
        tree.insert_many(leaves)
        head = tree.head()
    assert head.root.hex() in run("head", tmp_path / "log")
    run("scrub", tmp_path / "log")


def test_the_binding_reads_what_the_program_wrote(tmp_path):
    lines = [f"line {number}".encode() for number in range(300)]
    run("append", tmp_path / "log", input=b"\n".join(lines) + b"\n")
    with duramen.Store(tmp_path / "log", create=False) as store:
        tree = store.existing_tree("main")
        assert tree.size == len(lines)
        verifier = duramen.Verifier(tree.hasher, tree.arity)
        for index, line in enumerate(lines):
            assert tree.leaf(index) == verifier.leaf(line)
            verifier.verify_inclusion(tree.head(), index, verifier.leaf(line), tree.prove(index))
        root = tree.head().root.hex()
    assert root in run("head", tmp_path / "log")
