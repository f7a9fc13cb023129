"""`make peers DATA=<folder>`: scores by the peers and by ours where they are missing, then one table."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from aiops_assets.settings import PROJECT_ROOT
from aiops_assets_tests.benchmarks.peers.judge import judge, table
from aiops_assets_tests.benchmarks.peers.methods import PEERS

MODULES = "aiops_assets_tests.benchmarks.peers"
OURS = {"ensemble-predictor": "ours: ensemble-predictor", "anomaly-detector": "ours: recipe of anomaly-detector"}
# Seconds in the table are those of one core.
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def main() -> int:
    """Run both environments over the folder and print the table; the exit code."""
    parser = argparse.ArgumentParser(prog="make peers", description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="folder with series/*.parquet and labels/*.parquet")
    parser.add_argument("--python", required=True, help="the peers' interpreter")
    parser.add_argument("--scores", type=Path, default=PROJECT_ROOT / ".aiops" / "peers", help="folder for scores")
    parser.add_argument("--again", action="store_true", help="score also what is already scored")
    asked = parser.parse_args()
    if asked.data is None or not (asked.data / "labels").is_dir():
        print(
            "error: say where labelled series are: make peers DATA=<folder with series/ and labels/>", file=sys.stderr
        )
        return 2
    scores = asked.scores / asked.data.resolve().name
    for python, module in ((asked.python, "runner"), (sys.executable, "ours")):
        command = [python, "-m", f"{MODULES}.{module}", str(asked.data.resolve()), str(scores.resolve())]
        done = subprocess.run(
            command + ["--again"] * asked.again, cwd=PROJECT_ROOT, env={**os.environ, **ONE_CORE}, check=False
        )
        if done.returncode:
            return done.returncode
    print(table(judge(asked.data, scores, {name: peer.title for name, peer in PEERS.items()} | OURS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
