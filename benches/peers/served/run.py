"""Measures `duramen serve` beside a log in SQLite: the same sockets, the same client, in turn, several rounds.

    cargo build --release -p duramen-cli
    cargo build --release -p duramen-log --example load
    python3 benches/peers/served/run.py [--seconds 8] [--rounds 3] [--dir DIR]

Only ratios within one run count. Do not run it while anything else works on the machine. `--dir` is where both logs are:
on the disk that is to be measured, and not in memory.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
WORK = [
    ("POST /add, 64 connections", ["add", "64"], []),
    ("POST /add, 256 connections", ["add", "256"], []),
    ("POST /add-batch of 1,000, 4 connections", ["batch", "4"], ["1000"]),
]


def started(command):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    first = process.stdout.readline()
    if not first.startswith("listening on http://"):
        process.kill()
        sys.exit(f"{command[0]} does not listen: {first!r}")
    return process, first.split("//")[1].strip()


def duramen(build, place):
    key = place / "key"
    subprocess.run([build / "duramen", "keygen", "example.com/log", "-o", key], check=True, stdout=subprocess.DEVNULL)
    return [build / "duramen", "serve", place / "store", "--listen", "127.0.0.1:0", "--key", key, "--first-anchor"]


def sqlite(_, place):
    return [sys.executable, HERE / "sqlite_log.py", place / "store"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, default=ROOT / "target")
    parser.add_argument("--build", type=Path, default=ROOT / "target" / "release")
    args = parser.parse_args()
    load = args.build / "examples" / "load"
    for needed in (load, args.build / "duramen"):
        if not needed.exists():
            sys.exit(f"{needed} is missing: build it first\n{__doc__}")
    for name, kind, more in WORK:
        rates = {}
        for _ in range(args.rounds):
            for side, command in (("duramen serve", duramen), ("SQLite", sqlite)):
                place = Path(tempfile.mkdtemp(prefix="served-", dir=args.dir))
                process, address = started(command(args.build, place))
                try:
                    words = [load, address, *kind, str(args.seconds), *more]
                    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
                finally:
                    process.terminate()
                    process.wait()
                    shutil.rmtree(place)
                print(f"{name}: {side}: {told}", flush=True)
                figures = told.split()
                rates.setdefault(side, []).append(float(figures[figures.index("entries/s") + 1]))
        medians = {side: statistics.median(found) for side, found in rates.items()}
        ours, theirs = medians["duramen serve"], medians["SQLite"]
        print(f"{name}: median {ours:.0f} and {theirs:.0f} entries/s, {ours / theirs:.1f} times as many\n", flush=True)


if __name__ == "__main__":
    main()
