"""How long `aiops backtest` takes on 50,000 rows of 40 metrics, and how much memory, in a process of its own."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_assets.families.backtests import DETECTORS
from aiops_assets_tests.benchmarks.rows import Row

ROWS, METRICS = 50_000, 40
MAX_SECONDS, MAX_GIGABYTES = 90.0, 6.0
COMMAND = "import sys; from aiops_assets.commands.cli import main; main(sys.argv[1:], standalone_mode=False); "
COMMAND += "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"


def rows() -> list[Row]:
    """Each model's share of the limits; 1 is the limit."""
    with tempfile.TemporaryDirectory() as folder:
        series = Path(folder) / "series.parquet"
        _write_series(series)
        return [row for name in DETECTORS for row in _measured(name, series)]


def _measured(name: str, series: Path) -> list[Row]:
    arguments = ["backtest", "--model", name, "--series", str(series), "--out", str(series.with_name("scores.parquet"))]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    gigabytes = int(done.stdout.split()[-1]) * 1024 / 1e9
    what = f"back-test of {ROWS:,} rows x {METRICS} metrics by {name}"
    return [
        Row(f"{what}, to {MAX_SECONDS:.0f} s ({seconds:.1f} s)", seconds / MAX_SECONDS, 1.0),
        Row(f"its memory, to {MAX_GIGABYTES:.0f} GB ({gigabytes:.2f} GB)", gigabytes / MAX_GIGABYTES, 1.0),
    ]


def _write_series(path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((ROWS, METRICS)) + rng.standard_normal((ROWS, METRICS)).cumsum(axis=0) / 100
    frame = pd.DataFrame(values, columns=[f"metric_{i}" for i in range(METRICS)])
    frame = frame.mask(rng.random(frame.shape) < 0.01)
    frame.insert(0, "split", np.where(np.arange(ROWS) < ROWS // 2, "train", "test"))
    frame.insert(0, "timestamp", pd.date_range("2026-01-01", periods=ROWS, freq="1min", tz="UTC"))
    frame.to_parquet(path, index=False)
