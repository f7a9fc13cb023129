"""What many pods cost: ``python -m aiops_assets_tests.benchmarks.scale [--pods 100 --pods 1000] [--days 7]``.

For each number of pods, all metrics of some days are fetched from a loopback server that computes its answers, and the
training set of ``pod_features`` is built of them and stored; then both once more, in a new process, with nothing new.
Each process measures itself, so that neither the server nor the imports count:

- CPU seconds (user and system) of a pod's day, to those of the smallest number of pods: at most linear is at most 1
- the most memory the process ever held
- CPU seconds of the second fetch, as a share of the first one's, and the same of both parts
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from aiops_assets_tests.benchmarks.rows import Row

END = datetime(2026, 11, 1, tzinfo=UTC)
NOW = END + timedelta(hours=12)
"""All days are over, settled and closed by the first fetch."""
MEGABYTES, AGAIN = 1500, 5.0
NOISE = 1.1
"""Two equal processes differ by some percent of CPU time on a busy machine."""
Found = dict[str, float]


def measured(folder: str, url: str, n_days: int) -> Found:
    """Fetch into a home and make the training set, and say what this process used for it."""
    from aiops_assets.datasets.reuse import Request, stored_training_set
    from aiops_assets.pipeline.assets.raw_metrics import fetch_all
    from aiops_assets.pipeline.resources import prometheus_of, stores_of
    from aiops_assets.settings import load_settings
    from aiops_assets.storage.lake import FetchOutcome
    from aiops_assets.storage.records import SyntheticRecipe
    from aiops_assets.views.catalog import POD_FEATURES, VIEWS

    settings = load_settings(
        {
            "AIOPS_HOME": folder,
            "DATA_SOURCE": "prometheus",
            "PROMETHEUS_URL": url,
            "SYNTHETIC_END": END.date().isoformat(),
            "SYNTHETIC_RATIO": "0",
        }
    )
    days = [(END - timedelta(days=back)).date() for back in range(n_days, 0, -1)]
    lake, sets, prometheus = stores_of(settings).lake(), stores_of(settings).training_sets(), prometheus_of(settings)
    began = time.process_time()
    fetch_all(prometheus, lake, settings.metrics, days, NOW, [], lambda line: None)
    lake.note_fetch(
        FetchOutcome(
            when=NOW.isoformat(),
            reached=True,
            problem="",
            run_id="",
            server=prometheus.server,
            first_day=days[0].isoformat(),
            last_day=days[-1].isoformat(),
        )
    )
    fetched = time.process_time()
    recipe = SyntheticRecipe(n_pods=1, days=n_days, end=END, seed=1, anomaly_rate=0.0)
    request = Request(VIEWS[POD_FEATURES], settings, recipe, announced="", days=days)
    found = stored_training_set(request, POD_FEATURES, lake, sets, NOW)
    made = time.process_time()
    if found.record.source.coverage != 1 or not len(found.rows):
        raise RuntimeError(f"not every sample was stored: {found.record.source}")
    rows = time.process_time() - made
    return {"fetch": fetched - began, "set": made - fetched, "rows": rows, "megabytes": _peak_megabytes()}


def _peak_megabytes() -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6


@contextmanager
def _server(n_pods: int) -> Iterator[str]:
    command = [sys.executable, "-m", "aiops_assets_tests.benchmarks.computing_server", str(n_pods)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def _child(*arguments: str) -> Found:
    command = [sys.executable, "-m", __spec__.name, "--child", *arguments]
    found: Found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def runs(n_pods: int, n_days: int) -> tuple[Found, Found]:
    """The first run, and the second one with nothing new."""
    with tempfile.TemporaryDirectory() as folder, _server(n_pods) as url:
        first = _child(folder, url, str(n_days))
        return first, _child(folder, url, str(n_days))


def _cpu(found: Found) -> float:
    return found["fetch"] + found["set"]


def rows(pods: tuple[int, ...] = (100, 1_000), n_days: int = 7) -> list[Row]:
    """Measure, and say each number on the error channel as soon as it is there."""
    found = []
    base = 0.0
    print("   pods  fetch s  set s   MB  fetch s again  set s again  MB again", file=sys.stderr)
    for n_pods in sorted(pods):
        first, again = runs(n_pods, n_days)
        line = f"{n_pods:7} {first['fetch']:8.2f} {first['set']:6.2f} {first['megabytes']:4.0f}"
        more = f" {again['fetch']:14.2f} {again['set']:12.2f} {again['megabytes']:9.0f}"
        print(line + more, file=sys.stderr, flush=True)
        each = _cpu(first) / (n_pods * n_days)
        base = base or each
        what = f"{n_pods:,} pods x {n_days} days"
        found += [
            Row(f"CPU time of a pod's day, {what} to {min(pods)} pods", each / base, NOISE),
            Row(f"MB at the peak of {what}", max(first["megabytes"], again["megabytes"]), MEGABYTES),
            Row(f"% of the first fetch for a second one, {what}", 100 * again["fetch"] / first["fetch"], AGAIN),
            Row(f"% of both for both again, {what}", 100 * _cpu(again) / _cpu(first), AGAIN),
        ]
    return found


@click.command()
@click.option("--pods", multiple=True, type=int, default=(100, 1_000), show_default=True, help="May be repeated.")
@click.option("--days", default=7, show_default=True, help="Days that are fetched.")
@click.option("--child", nargs=3, hidden=True)
def main(pods: tuple[int, ...], days: int, child: tuple[str, str, str] | None) -> None:
    """Print a table of what was measured and its limits; fail if one is passed."""
    if child:
        print(json.dumps(measured(child[0], child[1], int(child[2]))))
        return
    found = rows(pods, days)
    for row in found:
        print(row)
    sys.exit(0 if all(row.kept for row in found) else 1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
