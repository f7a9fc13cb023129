"""`python -m aiops_assets_tests.benchmarks`: prints each ratio beside its limit; exit code 1 when one is passed."""

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pandas as pd

from aiops_assets.timeseries.catalog import SYNTHETIC_METRICS
from aiops_assets.timeseries.synthetic import DAY_MINUTES, generate

ROUNDS = 5
END = pd.Timestamp("2026-11-01", tz="UTC")


def ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """Median of the ratios of runs taken in turn, after one of each that does not count."""
    ours(), theirs()
    return median(_seconds(ours) / _seconds(theirs) for _ in range(ROUNDS))


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _python(statement: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, "-c", statement], check=True)


def main() -> int:
    """Measure and print; how many limits were passed."""
    n_pods, days = 20, 30
    deviates = (len(SYNTHETIC_METRICS), n_pods, days * DAY_MINUTES)
    rows = [
        (
            "import aiops_assets.definitions / import dagster, pandas",
            1.5,
            ratio(_python("import aiops_assets.definitions"), _python("import dagster, pandas")),
        ),
        (
            "30 days of synthetic series / as many normal deviates",
            3.0,
            ratio(
                lambda: generate(n_pods, days, END, seed=1),
                lambda: np.random.default_rng(1).standard_normal(deviates),
            ),
        ),
    ]
    for name, limit, found in rows:
        print(f"{found:6.2f}  (at most {limit:.1f})  {name}")
    return sum(found > limit for _, limit, found in rows)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
