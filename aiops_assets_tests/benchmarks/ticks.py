"""What scoring all pods costs: ``python -m aiops_assets_tests.benchmarks.ticks [--pods 100 --pods 1000 --pods 5000]``.

A lake is made of ten days of so many pods, of 50 generated ones under other names and with other levels, and of two
weeks of 500 metrics of one's own (``--own``); and a home with the three detectors as champions. Then scores are made of
all of it, and it is decided whom to call, three times, each in a new process: first without anything kept, then two
quarters of an hour later, of which the last one counts. Each process measures CPU seconds (user and system) and the
most memory that it ever held; without its imports, loading the models and the digest of the code, which are some five
seconds whatever the number of pods. Fetching is another benchmark (``scale``).

``--borrow`` saves time with many pods: in the first run, which takes a tenth of a second a pod, window detectors score
a few, and all others get the memories of these. So scores of the later runs are not right, and nothing is reported of
the first one; what a later run costs is the same.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import click
import numpy as np
import pandas as pd

from aiops_assets_tests.benchmarks.rows import Row

if TYPE_CHECKING:
    from aiops_assets.learners.detectors.deviation_detector import DeviationDetector
    from aiops_assets.learners.detectors.raw_rows import RawRows
    from aiops_assets.learners.detectors.running_scores import Memory, Newest, Positions

END = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAYS, OWN_DAYS = 10, 14
DRAWN = 50
QUARTER = timedelta(minutes=15)
DETECTORS = ("anomaly-detector", "ensemble-predictor", "lstm-predictor")
CPU_SECONDS, MEGABYTES = 60.0, 1000.0
"""Of a tick of 5,000 pods and 500 metrics of one's own."""
Found = dict[str, float]


def make_home(folder: str, n_pods: int, n_own: int) -> None:
    """Store days and champions."""
    from aiops_assets.settings import load_settings
    from aiops_assets.storage.lake import Lake
    from aiops_assets.storage.storage import LocalStorage
    from aiops_assets.synthetic.pods import generate
    from aiops_assets.timeseries.catalog import ENGINE_METRICS
    from aiops_assets_tests.benchmarks.own_metrics import entries, store_days
    from aiops_assets_tests.service.served_home import SPECS, ServedHome, model_file, rows_of

    home = ServedHome(Path(load_settings({"AIOPS_HOME": folder}).model_root))
    for name in DETECTORS:
        family, parameters = SPECS[name].family, SPECS[name].parameters
        data = model_file(name)
        if SPECS[name].view == "pod_features":  # that of tests has fewer trees
            data = family.to_bytes(family.fit(rows_of(SPECS[name].view), parameters, 42))
        home.promote(home.publish(name, data), name)
    series = generate(min(n_pods, DRAWN), DAYS, pd.Timestamp(END).ceil("D"), seed=3)
    lake = Lake(LocalStorage(Path(folder)), "default")
    names = [json.dumps({"namespace": f"ns-{i // 8 % 20}", "pod": f"service-{i // 8}-{i:06d}"}) for i in range(n_pods)]
    levels = np.random.default_rng(1).uniform(0.5, 1.5, n_pods)
    for metric in ENGINE_METRICS:
        values = series.values[metric.name][:, 0]
        for first in range(0, len(series.times), 1440):
            minutes, times = values[:, first : first + 1440], series.times[first : first + 1440]
            wide = pd.DataFrame({'{"instance": "node"}': minutes[0]}, index=times)
            if metric.per == "pod":
                scale = 1.0 if metric.unit == "count" else levels[:, np.newaxis]
                wide = pd.DataFrame((minutes[np.arange(n_pods) % len(minutes)] * scale).T, index=times, columns=names)
            day = times[0].date()
            midnight = times[0].to_pydatetime() + timedelta(days=1)
            until = min(midnight, END)
            wide = wide[wide.index <= pd.Timestamp(until)]
            lake.upsert_day(metric, day, wide, fetched=until, fetched_until=until, closed=midnight <= END)
    store_days(lake, entries(n_own), END, OWN_DAYS)
    lake.intact.save()


def measured(folder: str, back: int, borrows: bool, n_own: int) -> Found:
    """Make scores of a time so many quarters of an hour before the end, and say what this process used for it.

    ``borrows``: pods without a memory get that of others.
    """
    from aiops_assets.datasets.newest import stored_window
    from aiops_assets.learners.detectors.running_scores import newest_scores
    from aiops_assets.pipeline.resources import stores_of
    from aiops_assets.registry import pod_scoring, running_pods, scoring
    from aiops_assets.registry.code_digest import code_digest
    from aiops_assets.registry.metric_scoring import score_metrics
    from aiops_assets.registry.metric_tables import with_metrics
    from aiops_assets.registry.paging import Paging
    from aiops_assets.registry.scoring import predict_newest
    from aiops_assets.registry.version import version_of
    from aiops_assets.settings import load_settings
    from aiops_assets_tests.benchmarks.own_metrics import entries
    from aiops_assets_tests.service.served_home import SPECS

    settings = load_settings({"AIOPS_HOME": folder, "DATA_SOURCE": "prometheus", "PROMETHEUS_URL": "http://127.0.0.1"})
    stores, now = stores_of(settings), END - back * QUARTER
    specs = [SPECS[name] for name in DETECTORS]
    for spec in specs:  # imports what it needs
        champion = stores.served().champion(spec.name)
        assert champion
        version_of(stores.served(), spec, champion.champion).model()
    code_digest(scoring.__name__), code_digest(pod_scoring.__name__)
    if borrows:
        patch.object(running_pods, "newest_scores", Borrowed(newest_scores)).start()
    began = time.process_time()
    window = stored_window(settings, stores.lake(), now)
    read = time.process_time()
    paging = Paging(stores.page_states(), settings.alerts_per_day, settings.score_minutes)
    found = predict_newest(stores.served(), specs, window, now, settings.cluster, stores.pod_memories(), paging)
    scored = time.process_time()
    tables = score_metrics(entries(n_own), stores.lake(), stores.metric_states(), now, {}, max(n_own, 1))
    run = with_metrics(found.run, tables, {})
    own = time.process_time()
    stores.scores().put(run)
    if len(tables.watched) != n_own:
        raise RuntimeError(f"{len(tables.watched)} of {n_own} metrics were scored")
    if found.run.record.left_out:
        raise RuntimeError(str(found.run.record.left_out))
    return {
        "pods": found.run.record.pods,
        "resumed": min(found.resumed.values()),
        "read": read - began,
        "score": scored - read,
        "own": own - scored,
        "put": time.process_time() - own,
        "megabytes": _peak_megabytes(),
    }


class Borrowed:
    """``newest_scores`` that gives pods without a memory what it has found for the first ones."""

    def __init__(self, original: "Callable[..., tuple[Newest, Memory]]") -> None:
        self._original = original
        self._first: dict[type, tuple[Newest, Memory]] = {}

    def __call__(
        self, detector: "DeviationDetector", raw: "RawRows", begins: "Positions", first: int, memory: "Memory | None"
    ) -> "tuple[Newest, Memory]":
        """As ``newest_scores``."""
        if memory is not None:
            return self._original(detector, raw, begins, first, memory)
        if type(detector) not in self._first:
            self._first[type(detector)] = self._original(detector, raw, begins, first, None)
        newest, kept = self._first[type(detector)]
        at = np.arange(raw.shape[1]) % newest.score.shape[1]
        results = {field.name: getattr(newest, field.name)[:, at] for field in fields(newest)}
        arrays = {name: array[at] for name, array in kept.arrays().items()}
        return type(newest)(**results), type(kept).of(arrays)


def _peak_megabytes() -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6


def _child(*arguments: str) -> Found:
    command = [sys.executable, "-m", __spec__.name, "--child", *arguments]
    found: Found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1])
    return found


def _cpu(found: Found) -> float:
    return found["read"] + found["score"] + found["own"] + found["put"]


def rows(pods: tuple[int, ...], own: int, borrow: bool) -> list[Row]:
    """Measure, and say each number on the error channel as soon as it is there."""
    found = []
    print("   pods  tick  went on  read s  score s   own s  store s  CPU s    MB", file=sys.stderr)
    for n_pods in sorted(pods):
        with tempfile.TemporaryDirectory() as folder:
            make_home(folder, n_pods, own)
            ticks = [_child(folder, str(back), str(borrow and back == 2), str(own)) for back in (2, 1, 0)]
        first = int(borrow)
        for i, tick in enumerate(ticks[first:], first):
            if tick["pods"] != n_pods:
                raise RuntimeError(f"{tick['pods']} of {n_pods} pods were scored")
            parts = f"{tick['read']:7.1f} {tick['score']:8.1f} {tick['own']:7.1f} {tick['put']:8.1f}"
            print(
                f"{n_pods:7} {i + 1:5} {tick['resumed']:8} {parts} {_cpu(tick):6.1f} {tick['megabytes']:5.0f}",
                file=sys.stderr,
                flush=True,
            )
        share = max(1.0, n_pods / 5_000)
        most = max(tick["megabytes"] for tick in ticks[first:])
        found += [
            Row(f"CPU seconds of a later tick, {n_pods:,} pods", _cpu(ticks[-1]), share * CPU_SECONDS),
            Row(f"MB at the peak of a tick, {n_pods:,} pods", most, share * MEGABYTES),
        ]
        if not borrow:
            later = 100 * _cpu(ticks[-1]) / _cpu(ticks[0])
            found.append(Row(f"% of the first tick for a later one, {n_pods:,} pods", later, 25.0))
    return found


@click.command()
@click.option("--pods", multiple=True, type=int, default=(100, 1_000), show_default=True, help="May be repeated.")
@click.option("--own", type=int, default=500, show_default=True, help="Metrics of one's own, a series each.")
@click.option("--borrow", is_flag=True, help="Of the first tick, score a few pods alone; it is not reported.")
@click.option("--child", nargs=4, hidden=True)
def main(pods: tuple[int, ...], own: int, borrow: bool, child: tuple[str, str, str, str] | None) -> None:
    """Print a table of what was measured and its limits; fail if one is passed."""
    if child:
        print(json.dumps(measured(child[0], int(child[1]), child[2] == str(True), int(child[3]))))
        return
    found = rows(pods, own, borrow)
    for row in found:
        print(row)
    sys.exit(0 if all(row.kept for row in found) else 1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
