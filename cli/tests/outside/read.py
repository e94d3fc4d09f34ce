"""Reads a served log with tlog-scales: read.py URL ENTRIES VKEY..

Every VKEY must have signed the checkpoint. Every entry is `entry N`, and is proven to be in it.
"""

import sys

from tlog_scales import backend, tiles
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey, VkeySet

url, count, vkeys = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
reader = TilesReader(backend.make_backend(url))
checkpoint = reader.get_checkpoint()
assert checkpoint.size == count, checkpoint
valid = VkeySet(*map(Vkey.from_string, vkeys)).verify(checkpoint.signatures, checkpoint)
assert len(valid) == len(vkeys) == len(checkpoint.signatures), valid
assert reader.calculate_root_hash() == checkpoint.root_hash
for index in range(count):
    entry = reader.get_entry(index)
    assert entry == b"entry %d" % index, (index, entry)
    proof = reader.get_inclusion_proof(index, count)
    proof.check(tiles.leaf_hash(entry), checkpoint.root_hash)
roots = {}
for size in (1, 2, 255, 256, 257, count // 2, count):
    reader.set_size(count)
    roots[size] = reader.mth(0, size)
    reader.get_consistency_proof(size, count).check(roots[size], checkpoint.root_hash)
print("read", count)
