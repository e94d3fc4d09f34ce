"""Writes a log with tlog-scales: write.py DIR ORIGIN SECRET. Prints its public key.

Each line of standard input is a number: so many entries are added, and a checkpoint is signed.
"""

import pathlib
import sys

from tlog_scales.signing import PlainEd25519Signer
from tlog_scales.writer import TilesWriter

root, origin, secret = pathlib.Path(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3])
signer = PlainEd25519Signer(origin, secret)
print(signer.vkey.serialize(), flush=True)
writer = TilesWriter.create(root, origin)
for line in sys.stdin:
    for _ in range(int(line)):
        writer.add_leaf(b"entry %d" % (writer.size + len(writer.pending)))
    writer.commit([signer])
    print(writer.size, flush=True)
