"""A transparency log in SQLite, as a peer of `duramen serve` for measurements: the design of logs on a database.

Submitters hand over entries. One thread takes all that wait, gives them their indexes, adds them to the tree and commits
them in one transaction; the answers follow the commit. The database is in WAL mode with synchronous=FULL, so a commit has
synced the log of the database. Leaves are unique by their hash. Complete nodes of the tree are rows as well.

    sqlite_log.py DIR [PORT]     prints `listening on http://ADDRESS`, and serves until a signal

`POST /add` takes an entry, `POST /add-batch` entries that have their lengths before them (four bytes, big-endian), and
`GET /checkpoint` answers size and root, without a signature. It verifies nothing and signs nothing.
"""

import asyncio
import hashlib
import queue
import signal
import sqlite3
import struct
import sys
import threading
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS leaf (idx INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS node (level INTEGER, idx INTEGER, hash BLOB NOT NULL, PRIMARY KEY (level, idx)) WITHOUT ROWID;
"""


def leaf_of(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node_of(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


class Log:
    """The tree and its database. Used by one thread."""

    def __init__(self, directory):
        self.db = sqlite3.connect(Path(directory) / "log.sqlite", isolation_level=None)
        mode = self.db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise RuntimeError(f"the database is in mode {mode}, not in WAL mode")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.executescript(SCHEMA)
        self.size = self.db.execute("SELECT COALESCE(MAX(idx) + 1, 0) FROM leaf").fetchone()[0]
        self.peaks = self.peaks_at(self.size)

    def peaks_at(self, size):
        """The complete subtrees of the first leaves, the greatest first."""
        peaks, start = [], 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                found = self.db.execute(
                    "SELECT hash FROM node WHERE level = ? AND idx = ?", (level, start >> level)
                )
                peaks.append(found.fetchone()[0])
                start += 1 << level
        return peaks

    def insert(self, entries):
        """Adds entries that are new. Returns the index of each. They are durable when this returns."""
        indexes, leaves, nodes, seen = [], [], [], {}
        size, peaks = self.size, list(self.peaks)
        self.db.execute("BEGIN IMMEDIATE")
        try:
            for entry in entries:
                leaf = leaf_of(entry)
                known = seen.get(leaf)
                if known is None:
                    found = self.db.execute("SELECT idx FROM leaf WHERE hash = ?", (leaf,)).fetchone()
                    known = found[0] if found else None
                if known is not None:
                    indexes.append(known)
                    continue
                indexes.append(size)
                seen[leaf] = size
                leaves.append((size, leaf, entry))
                nodes.append((0, size, leaf))
                node, level, rest = leaf, 0, size
                while rest & 1:
                    node, level, rest = node_of(peaks.pop(), node), level + 1, rest >> 1
                    nodes.append((level, rest, node))
                peaks.append(node)
                size += 1
            self.db.executemany("INSERT INTO leaf VALUES (?, ?, ?)", leaves)
            self.db.executemany("INSERT INTO node VALUES (?, ?, ?)", nodes)
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.size, self.peaks = size, peaks
        return indexes

    def root(self):
        if not self.peaks:
            return hashlib.sha256().digest()
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_of(peak, root)
        return root


class Sequencer(threading.Thread):
    """Commits what waits, all of it together."""

    def __init__(self, directory, loop):
        super().__init__(daemon=True)
        self.directory, self.loop = directory, loop
        self.waiting = queue.SimpleQueue()
        self.head = (0, hashlib.sha256().digest())

    def submit(self, entries):
        answer = self.loop.create_future()
        self.waiting.put((entries, answer))
        return answer

    def run(self):
        log = Log(self.directory)
        self.head = (log.size, log.root())
        while True:
            jobs = [self.waiting.get()]
            while not self.waiting.empty():
                jobs.append(self.waiting.get())
            indexes = log.insert([entry for entries, _ in jobs for entry in entries])
            self.head = (log.size, log.root())
            answers, at = [], 0
            for entries, answer in jobs:
                answers.append((answer, indexes[at : at + len(entries)]))
                at += len(entries)
            self.loop.call_soon_threadsafe(settle, answers)


def settle(answers):
    for answer, indexes in answers:
        if not answer.done():
            answer.set_result(indexes)


def split(body):
    entries, at = [], 0
    while at < len(body):
        (length,) = struct.unpack_from(">I", body, at)
        entries.append(body[at + 4 : at + 4 + length])
        at += 4 + length
    return entries


async def serve(sequencer, reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("ascii").split("\r\n")
            method, path = first.split(" ")[:2]
            lengths = [line.split(":")[1] for line in lines if line.lower().startswith("content-length:")]
            body = await reader.readexactly(int(lengths[0])) if lengths else b""
            status, text = "200 OK", b""
            if (method, path) == ("POST", "/add"):
                index = (await sequencer.submit([body]))[0]
                text = b'{"index":%d}' % index
            elif (method, path) == ("POST", "/add-batch"):
                indexes = await sequencer.submit(split(body))
                text = b"[" + b",".join(b"%d" % index for index in indexes) + b"]"
            elif (method, path) == ("GET", "/checkpoint"):
                size, root = sequencer.head
                text = f"{size}\n{root.hex()}\n".encode()
            else:
                status = "404 Not Found"
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(text)}\r\n\r\n".encode() + text)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(directory, port):
    Path(directory).mkdir(parents=True, exist_ok=True)
    sequencer = Sequencer(directory, asyncio.get_running_loop())
    sequencer.start()
    server = await asyncio.start_server(
        lambda reader, writer: serve(sequencer, reader, writer), "127.0.0.1", port, limit=1 << 25
    )
    address = server.sockets[0].getsockname()
    print(f"listening on http://{address[0]}:{address[1]}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 0))
