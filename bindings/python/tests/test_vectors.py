"""Every case of the test vectors, right ones and forged ones."""

import json
from pathlib import Path

import pytest

import duramen

VECTORS = Path(__file__).parents[3] / "tests" / "vectors"
TREES = [f"{hasher}-{arity}" for hasher in ("blake3", "rfc6962-sha256", "keccak256") for arity in (2, 4, 8, 16)]


def read(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def head(one):
    return duramen.Head(one["size"], bytes.fromhex(one["root"]))


def joined(hashes):
    return bytes.fromhex("".join(hashes))


def leaves(many):
    return [(one["index"], bytes.fromhex(one["leaf"])) for one in many]


@pytest.mark.parametrize("name", TREES)
def test_proofs_of_trees_are_verified_and_forged_ones_refused(name):
    file = read(name)
    verifier = duramen.Verifier(file["hasher"], file["arity"])
    assert verifier.empty_root().hex() == file["roots"][0]["root"]
    for one in file["leaves_of_data"]:
        assert verifier.leaf(bytes.fromhex(one["data"])).hex() == one["leaf"]
    for one in file["inclusion"]:
        asked = head(one["head"]), one["index"], bytes.fromhex(one["leaf"])
        verifier.verify_inclusion(*asked, bytes.fromhex(one["bytes"]))
        verifier.verify_inclusion_hashes(*asked, joined(one["hashes"]))
        with pytest.raises(duramen.VerifyError):
            verifier.verify_inclusion_hashes(*asked, joined([*one["hashes"], one["leaf"]]))
    for one in file["consistency"]:
        heads = head(one["old"]), head(one["new"])
        verifier.verify_consistency(*heads, bytes.fromhex(one["bytes"]))
        verifier.verify_consistency_hashes(*heads, joined(one["hashes"]))
    for one in file["multi"]:
        verifier.verify_many(head(one["head"]), leaves(one["leaves"]), bytes.fromhex(one["bytes"]))
    assert len(file["refused"]) > 50
    for one in file["refused"]:
        [(kind, claim)] = one["claim"].items()
        proof = bytes.fromhex(one["bytes"])
        with pytest.raises(duramen.VerifyError):
            if kind == "inclusion":
                verifier.verify_inclusion(head(claim["head"]), claim["index"], bytes.fromhex(claim["leaf"]), proof)
            elif kind == "consistency":
                verifier.verify_consistency(head(claim["old"]), head(claim["new"]), proof)
            else:
                verifier.verify_many(head(claim["head"]), leaves(claim["leaves"]), proof)
            pytest.fail(f"accepted: {one['why']}")


@pytest.mark.parametrize("name", TREES)
def test_a_store_makes_the_roots_and_proofs_of_the_vectors(name, tmp_path):
    file = read(name)
    leaves = [bytes.fromhex(one["leaf"]) for one in sorted(file["inclusion"], key=lambda one: one["index"])]
    everything = {one["index"]: leaf for one, leaf in zip(sorted(file["inclusion"], key=lambda o: o["index"]), leaves)}
    # Leaf i of every tree is BLAKE3 of i, which the multi-proofs of small trees list completely.
    for one in file["multi"]:
        everything.update((each["index"], bytes.fromhex(each["leaf"])) for each in one["leaves"])
    size = next(size for size in range(301) if size not in everything)
    assert size >= 21
    with duramen.open(tmp_path / "log", hasher=file["hasher"], arity=file["arity"]) as tree:
        tree.insert_many(b"".join(everything[index] for index in range(size)))
        for one in file["roots"]:
            if one["size"] <= size:
                assert tree.head(one["size"]) == head(one)
        for one in file["inclusion"]:
            if one["head"]["size"] <= size:
                assert tree.prove(one["index"], one["head"]["size"]).hex() == one["bytes"]
        for one in file["consistency"]:
            if one["new"]["size"] <= size:
                assert tree.prove_consistency(one["old"]["size"], one["new"]["size"]).hex() == one["bytes"]
        for one in file["multi"]:
            if one["head"]["size"] <= size:
                indexes = [each["index"] for each in one["leaves"]]
                assert tree.prove_many(indexes, one["head"]["size"]).hex() == one["bytes"]


def test_trees_of_stores_are_proven_and_forged_proofs_refused():
    file = read("stores")
    for store in file["stores"]:
        for tree in store["trees"]:
            proven = duramen.verify_tree(bytes.fromhex(store["commitment"]), bytes.fromhex(tree["bytes"]))
            assert proven[:4] == (tree["name"], tree["hasher"], tree["arity"], tree["size"])
            assert proven.root.hex() == tree["root"]
    for one in file["refused"]:
        with pytest.raises(duramen.VerifyError):
            duramen.verify_tree(bytes.fromhex(one["commitment"]), bytes.fromhex(one["bytes"]))
            pytest.fail(f"accepted: {one['why']}")


def test_signed_texts_are_verified_and_forged_ones_refused():
    file = read("tlog")

    def is_(found, one):
        assert (found.size, found.root.hex()) == (one["head"]["size"], one["head"]["root"])
        assert found.index == one.get("index")
        if "cosigned" in one:
            assert found.cosigned == one["cosigned"]

    for one in file["checkpoints"]:
        is_(duramen.verify_checkpoint(one["note"], one["origin"], one["keys"]), one)
    for one in file["witnessed"]:
        is_(duramen.verify_witnessed(one["note"], one["policy"]), one)
    for one in file["proofs"]:
        is_(duramen.verify_proof(one["proof"], one["origin"], one["keys"], bytes.fromhex(one["leaf"])), one)
    for one in file["witnessed_proofs"]:
        is_(duramen.verify_witnessed_proof(one["proof"], one["policy"], bytes.fromhex(one["leaf"])), one)
    assert len(file["refused"]) > 50
    for one in file["refused"]:
        [(kind, claim)] = one["claim"].items()
        calls = {
            "checkpoint": lambda: duramen.verify_checkpoint(one["text"], claim["origin"], claim["keys"]),
            "witnessed": lambda: duramen.verify_witnessed(one["text"], claim["policy"]),
            "proof": lambda: duramen.verify_proof(one["text"], claim["origin"], claim["keys"], bytes.fromhex(claim["leaf"])),
            "witnessed_proof": lambda: duramen.verify_witnessed_proof(
                one["text"], claim["policy"], bytes.fromhex(claim["leaf"])
            ),
        }
        with pytest.raises((duramen.VerifyError, duramen.InputError)):
            calls[kind]()
            pytest.fail(f"accepted: {one['why']}")


def test_what_the_caller_gets_wrong_is_an_error_of_its_own():
    root = bytes(32)
    verifier = duramen.Verifier("blake3", 4)
    for call in (
        lambda: duramen.Verifier("md5", 2),
        lambda: duramen.Verifier("blake3", 3),
        lambda: duramen.Head(1, root[1:]),
        lambda: verifier.verify_inclusion(duramen.Head(1, root), 0, root[1:], b""),
        lambda: verifier.verify_inclusion_hashes(duramen.Head(1, root), 0, root, root[1:]),
        lambda: duramen.verify_tree(root[1:], b""),
        lambda: duramen.verify_checkpoint("", "a", ["b"]),
        lambda: duramen.verify_witnessed("", "?"),
    ):
        with pytest.raises(duramen.InputError):
            call()
    with pytest.raises(OverflowError):
        duramen.Head(2**64, root)
