"""`python -m aiops_assets_tests.benchmarks [PART ...]`: numbers beside their limits; code 1 when one is passed.

Without a part, all are measured. Where something is missing that fetching is measured with, it is left out; with
AIOPS_TEST_REQUIRE_ALL=1 that fails.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import click
import numpy as np
import pandas as pd

from aiops_assets.synthetic.pods import generate
from aiops_assets.synthetic.seasons import DAY_MINUTES
from aiops_assets.timeseries.catalog import SYNTHETIC_METRICS
from aiops_assets_tests.benchmarks import backtesting, fetching, running, serving
from aiops_assets_tests.benchmarks.rows import Row

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


def _import_time() -> Row:
    found = ratio(_python("import aiops_assets.definitions"), _python("import dagster, pandas"))
    return Row("import aiops_assets.definitions / import dagster, pandas", found, 1.5)


def _synthetic_time() -> Row:
    n_pods, days = 20, 30
    deviates = (len(SYNTHETIC_METRICS), n_pods, days * DAY_MINUTES)
    found = ratio(
        lambda: generate(n_pods, days, END, seed=1),
        lambda: np.random.default_rng(1).standard_normal(deviates),
    )
    return Row("30 days of synthetic series / as many normal deviates", found, 3.0)


PARTS: dict[str, Callable[[], list[Row]]] = {
    "imports": lambda: [_import_time()],
    "synthetic": lambda: [_synthetic_time()],
    "backtesting": backtesting.rows,
    "running": running.rows,
    "serving": serving.rows,
    "fetching": fetching.rows,
    "fetching-beside": fetching.rows_beside_theirs,
}
"""Name of a part -> measures its rows."""


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
def main(parts: tuple[str, ...]) -> None:
    """Measure the parts, or all of them, and print; fail if a limit is passed."""
    rows = []
    lacking = ""
    for name in parts or PARTS:
        if name.startswith("fetching") and (lacking := fetching.missing()):
            print(f"Not measured: {name}, because this machine lacks {lacking}")
        else:
            rows += PARTS[name]()
    for row in rows:
        print(row)
    broken = [row for row in rows if not row.kept]
    sys.exit(int(bool(broken) or (bool(lacking) and os.environ.get("AIOPS_TEST_REQUIRE_ALL") == "1")))


if __name__ == "__main__":
    main()
