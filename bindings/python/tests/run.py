"""Builds the wheel, installs it into a virtual environment of its own and runs the tests against it.

Needs a Python with maturin, pytest, numpy, pyarrow, duckdb and polars: that of DURAMEN_TEST_PYTHON, or the one that runs this.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parents[1]
PLACE = ROOT / "target" / "python"
PYTHON = os.environ.get("DURAMEN_TEST_PYTHON") or sys.executable


def missing():
    asked = subprocess.run([PYTHON, "-c", "import duckdb, maturin, numpy, polars, pyarrow, pytest"], capture_output=True)
    return asked.returncode != 0


if missing():
    print(f"SKIPPED: {PYTHON} lacks a package: pip install maturin numpy pytest pyarrow duckdb polars")
    sys.exit(1 if "DURAMEN_TEST_NO_SKIP" in os.environ else 0)
shutil.rmtree(PLACE, ignore_errors=True)
build = [PYTHON, "-m", "maturin", "build", "--profile", "dev", "--out", PLACE / "wheels"]
build += ["--target-dir", ROOT / "target" / "bindings", "--interpreter", PYTHON, "--locked"]
env = {name: value for name, value in os.environ.items() if name != "RUSTFLAGS"}
subprocess.run(build, cwd=HERE, env=env, check=True)
# With the packages of the environment that builds: numpy and pytest are not installed again.
site = subprocess.run(
    [PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True, check=True
).stdout.strip()
subprocess.run([PYTHON, "-m", "venv", "--without-pip", PLACE / "venv"], check=True)
[wheel] = (PLACE / "wheels").glob("*.whl")
python = PLACE / "venv" / "bin" / "python"
[packages] = (PLACE / "venv" / "lib").glob("python*/site-packages")
(packages / "with.pth").write_text(site + "\n")
shutil.unpack_archive(wheel, packages, "zip")
sys.exit(subprocess.run([python, "-m", "pytest", "-q", HERE / "tests", *sys.argv[1:]], cwd=PLACE).returncode)
