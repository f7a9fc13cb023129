"""A back-fill killed with SIGKILL again and again: no day is half written, and each run asks only for what is missing.

Runs are `dagster asset materialize` over a range of days, against a real server behind a proxy that is slow and
notes what it is asked.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from aiops_assets.commands.running import dagster_environment, executable, location_arguments
from aiops_assets.datasets.ingest import OVERLAP
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.pipeline.assets.raw_metrics import RAW_METRICS
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.settings import Settings, load_settings
from aiops_assets.storage.lake import Lake
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import METRICS, POD_CPU, MetricSpec
from aiops_assets_tests.conftest import FEW
from aiops_assets_tests.lengths import at_length
from aiops_assets_tests.prometheus.fault_server import FaultyServer, Params, Reply, faulty
from aiops_assets_tests.prometheus_server import backfilled_prometheus

pytestmark = [pytest.mark.long, pytest.mark.needs("prometheus")]

SPECS = [spec for metric in METRICS for spec in (metric, metric.members)]
ABSENT = [spec for metric in METRICS if metric.per == "labels" for spec in (metric, metric.members)]
"""The server has no volumes and no quotas, so that no day of them is stored."""
N_STORED = len(SPECS) - len(ABSENT)
BACK_DAYS = 8
KILLS = 6
"""Of one back-fill; more of them and it has ended."""
BACK_FILLS = at_length(1, 34)
RANGE_SECONDS = 0.05
"""What the proxy adds to each range query."""
RUN_SECONDS = 120
LAST_BIT = 1e-12
"""A server adds up the series of an avg() in any order, so that two answers may differ by this, relatively."""

Windows = dict[str, list[tuple[int, int, int]]]
"""Query -> first and last instant asked for, both included, and the step: Unix seconds."""


@dataclass(frozen=True)
class Home:
    """A lake, and the command that fills it from the proxy."""

    settings: Settings
    environment: dict[str, str]
    server: FaultyServer
    days: tuple[date, ...]

    @property
    def lake(self) -> Lake:
        return stores_of(self.settings).lake()

    def start(self) -> subprocess.Popen[str]:
        command = [executable("dagster"), "asset", "materialize", *location_arguments(), "--select", "raw_metrics"]
        return subprocess.Popen(
            [*command, "--partition-range", f"{self.days[0]}...{self.days[-1]}"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self) -> tuple[str, Windows]:
        """A whole run: what it said and what it asked for."""
        before = len(self.server.requests)
        with self.start() as process:
            try:
                output, _ = process.communicate(timeout=RUN_SECONDS)
            finally:
                end(process)
        assert process.returncode == 0, output
        return output, windows_of(self.server.requests[before:])

    def ranges(self) -> int:
        """How many range queries the server has seen; the others are quick looks before the fetch."""
        return sum(path.endswith("/query_range") for path, _ in self.server.requests)

    def run_killed(self, after_ranges: int, then_seconds: float) -> bool:
        """A run that is killed some time after so many range queries; whether it still ran."""
        goal = self.ranges() + after_ranges
        deadline = time.monotonic() + RUN_SECONDS
        with self.start() as process:
            try:
                while process.poll() is None and self.ranges() < goal:
                    assert time.monotonic() < deadline, f"not {after_ranges} ranges within {RUN_SECONDS} s"
                    time.sleep(0.001)
                time.sleep(then_seconds)
                return process.poll() is None
            finally:
                end(process)

    def check(self, name: str) -> tuple[bool, str]:
        """The newest result of a check of raw_metrics, and what it says."""
        with dg.DagsterInstance.from_config(self.environment["DAGSTER_HOME"]) as instance:
            (record,) = instance.get_run_records(limit=1)
            entries = instance.all_logs(record.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [entry.dagster_event.asset_check_evaluation_data for entry in entries if entry.dagster_event]
        (result,) = [result for result in found if (result.asset_key, result.check_name) == (RAW_METRICS, name)]
        return result.passed, result.description or ""


def end(process: subprocess.Popen[str]) -> None:
    """Nothing of the process group is left, and its output is read to the end."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def windows_of(requests: list[tuple[str, dict[str, str]]]) -> Windows:
    asked: Windows = defaultdict(list)
    for path, params in requests:
        if path.endswith("/query_range"):
            asked[params["query"]].append((int(params["start"]), int(params["end"]), int(params["step"])))
    return asked


def instants(windows: list[tuple[int, int, int]]) -> list[int]:
    return sorted(instant for first, last, step in windows for instant in range(first, last + 1, step))


def lacking(lake: Lake, spec: MetricSpec, days: tuple[date, ...]) -> list[tuple[int, int]]:
    """What a run must ask for: [from, to) of days that are missing, damaged or open; of these an hour again."""
    wanted = []
    for day in days:
        start = midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        with contextlib.suppress(NotFoundError, IntegrityError):
            _, info = lake.read_day(spec, day)
            if info.closed:
                continue
            start = max(midnight, info.requested_until - OVERLAP)
        wanted.append((int(start.timestamp()), int(midnight.timestamp()) + 86_400))
    return wanted


def run_and_compare(home: Home) -> tuple[str, int]:
    """A run that asks for what the lake lacks and nothing else: what it said, and how many instants it asked for."""
    wanted = [(spec, lacking(home.lake, spec, home.days)) for spec in SPECS]
    output, asked = home.run()
    assert set(asked) == {spec.promql for spec in SPECS}
    last = {promql: max(instants(windows)) for promql, windows in asked.items()}
    # Two metrics may have one companion's query: it is asked for each.
    expected: dict[str, list[int]] = defaultdict(list)
    for spec, days in wanted:
        step = spec.step_seconds
        for start, stop in days:
            expected[spec.promql] += range(start, min(stop, last[spec.promql] + step), step)
    for promql, windows in asked.items():
        assert instants(windows) == sorted(expected[promql]), f"{promql}: asked for {shown(windows)}"
    return output, sum(len(instants(windows)) for windows in asked.values())


def shown(windows: list[tuple[int, int, int]]) -> str:
    edges = [[datetime.fromtimestamp(t, UTC).strftime("%m-%d %H:%M") for t in window[:2]] for window in windows]
    return ", ".join(" to ".join(pair) for pair in edges)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyServer]:
    tomorrow = pd.Timestamp.now(tz="UTC").normalize() + pd.Timedelta(days=1)
    series = generate(5, BACK_DAYS + 2, tomorrow, seed=3)

    def slow(n: int, path: str, params: Params) -> Reply | None:
        return Reply(hang_seconds=RANGE_SECONDS) if path.endswith("/query_range") else None

    with (
        backfilled_prometheus(series, tmp_path_factory.mktemp("server") / "tsdb") as url,
        faulty(url, slow) as proxy,
    ):
        yield proxy


@pytest.fixture(scope="module")
def days() -> tuple[date, ...]:
    today = datetime.now(UTC).date()
    return tuple(today - timedelta(days=back) for back in range(BACK_DAYS, -1, -1))


def make_home(folder: Path, server: FaultyServer, days: tuple[date, ...]) -> Home:
    variables = {
        "AIOPS_HOME": str(folder),
        "DATA_SOURCE": "prometheus",
        "PROMETHEUS_URL": server.url,
        "MODELS": ",".join(FEW),
    }
    settings = load_settings(variables)
    inherited = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CONFIG_HOME") if name in os.environ
    }
    home = dagster_environment(settings)["DAGSTER_HOME"]
    return Home(settings, {**inherited, **variables, "DAGSTER_HOME": home}, server, days)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, server: FaultyServer, days: tuple[date, ...]) -> Home:
    """Filled by one run."""
    home = make_home(tmp_path_factory.mktemp("undisturbed"), server, days)
    home.run()
    return home


def assert_whole(lake: Lake) -> int:
    """Every day file reads back with its digest; how many there are."""
    found = [(spec, day) for spec in SPECS for day in lake.days(spec)]
    for spec, day in found:
        lake.read_day(spec, day)  # raises when a row, the digest or the metadata is damaged
    return len(found)


def differences(one: Home, other: Home) -> Iterator[str]:
    """Where two lakes differ: files, and days at the instants that both were asked for."""
    for spec in SPECS:
        if one.lake.days(spec) != other.lake.days(spec):
            yield f"{spec.name}: days are {one.lake.days(spec)} and {other.lake.days(spec)}"
            continue
        for day in one.lake.days(spec):
            (left, left_says), (right, right_says) = (home.lake.read_day(spec, day) for home in (one, other))
            if left_says.digest == right_says.digest:
                continue
            until = min(left_says.requested_until, right_says.requested_until)
            left, right = left[left.index < until], right[right.index < until]
            if not left.index.equals(right.index) or not left.columns.equals(right.columns):
                yield f"{spec.name} {day}: other instants or series"
            elif not np.allclose(left, right, rtol=LAST_BIT, atol=0, equal_nan=True):
                yield f"{spec.name} {day}: other values"


def test_a_killed_back_fill_resumes_and_ends_in_the_same_lake(
    tmp_path: Path, server: FaultyServer, days: tuple[date, ...], undisturbed: Home
) -> None:
    rng = random.Random(0)
    for number in range(BACK_FILLS):
        home = make_home(tmp_path / f"killed-{number}", server, days)
        killed_again_and_again(home, rng)
        run_and_compare(home)
        assert assert_whole(home.lake) == N_STORED * len(days)
        assert list(differences(home, undisturbed)) == []


def killed_again_and_again(home: Home, rng: random.Random) -> None:
    """No day that was there is gone, and each is whole."""
    stored = [0]
    for _ in range(KILLS):
        # A finished metric is one range, its open day's; one that is not takes two.
        finished = stored[-1] // len(home.days)
        assert home.run_killed(rng.randint(2, 8) + finished, rng.uniform(0, 2 * RANGE_SECONDS)), "the run had ended"
        stored.append(assert_whole(home.lake))
    assert stored == sorted(stored), "a day that was there is gone"
    assert 0 < stored[-1] < N_STORED * len(home.days), "the kills came too early or too late to matter"


def test_a_second_run_asks_only_for_what_is_new(undisturbed: Home) -> None:
    _, total = run_and_compare(undisturbed)
    hour = sum(OVERLAP // timedelta(seconds=spec.step_seconds) for spec in SPECS)
    absent = sum(timedelta(days=len(undisturbed.days)) // timedelta(seconds=spec.step_seconds) for spec in ABSENT)
    # Yesterday may be open too, and minutes have passed.
    assert total < absent + 3 * hour


def test_a_damaged_day_is_named_and_fetched_again(
    tmp_path: Path, server: FaultyServer, days: tuple[date, ...], undisturbed: Home
) -> None:
    home = make_home(tmp_path / "damaged", server, days)
    shutil.copytree(undisturbed.settings.aiops_home / "lake", home.settings.aiops_home / "lake")
    (file,) = home.settings.aiops_home.glob(f"lake/*/metric={POD_CPU.name}/*/day={days[2]}.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    with pytest.raises(IntegrityError):
        home.lake.read_day(POD_CPU, days[2])

    output, _ = run_and_compare(home)
    passed, description = home.check("stored_files")
    assert not passed
    assert str(file) in description
    assert str(file) in output
    assert list(differences(home, undisturbed)) == []
    assert home.lake.read_day(POD_CPU, days[2])[1].digest == undisturbed.lake.read_day(POD_CPU, days[2])[1].digest

    run_and_compare(home)
    assert home.check("stored_files") == (True, "")
