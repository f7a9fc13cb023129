"""The shipped daemon on a real server: the sensor's retrain, the lake's pool, failures in the log, a killed machine.

One daemon lives through the module. Its server stands behind a proxy, which can be slow or refuse.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, SensorInstigatorData, TickStatus

from aiops_assets.commands.running import dagster_environment, executable, location_arguments
from aiops_assets.pipeline import run_history
from aiops_assets.pipeline.assets.raw_metrics import RAW_METRICS
from aiops_assets.pipeline.automation.jobs import RANGE_END, RANGE_START, RETRAIN_DONE, RUN_KEY, SUNDAY
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.settings import Settings, load_settings
from aiops_assets.synthetic.pods import generate
from aiops_assets_tests.conftest import AFTER_DATA, FEW
from aiops_assets_tests.lengths import at_length
from aiops_assets_tests.prometheus.fault_server import Reply, faulty
from aiops_assets_tests.prometheus_server import backfilled_prometheus

pytestmark = [pytest.mark.long, pytest.mark.needs("prometheus")]

NAME = "anomaly-detector"
SENSOR, FAILURES = "retrain_when_days_pile_up", "log_run_failures"
BACK_DAYS = 8
"""Yesterday closes an hour late: without it a week has closed all the same."""
RUN_SECONDS, TICK_SECONDS, STOP_SECONDS = 360, 180, 45
DEATHS = at_length(1, 50)
"""Kills of the machine in each of two states of a run."""
SLOW = 0.15
"""Seconds before an answer: some 40 requests make a fetch of several seconds."""
DONE = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dataclass
class Mood:
    """How the proxy treats each request: ``reply`` is what it sends instead, None passes it on."""

    reply: Reply | None = None

    def __call__(self, n: int, path: str, params: object) -> Reply | None:
        return self.reply

    @contextlib.contextmanager
    def of(self, reply: Reply) -> Iterator[None]:
        self.reply = reply
        try:
            yield
        finally:
            self.reply = None


@dataclass
class Daemon:
    """`dagster-daemon run` on the shipped dagster.yaml, and the history that it writes."""

    environment: dict[str, str]
    instance: dg.DagsterInstance
    settings: Settings
    mood: Mood
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [executable("dagster-daemon"), "run", *location_arguments()],
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def stop(self) -> None:
        """As a service manager would, then whatever is left of its process group."""
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """With code server and runs, as when the machine dies."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)
        self.process = None

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            ended = self.process is None or self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"no {what} within {seconds} s; the daemon's log ends:\n{self.tail()}")
            time.sleep(0.1)

    def tail(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if " - DEBUG - " not in line]
        return "\n".join(lines[-60:])

    def retrains(self) -> list[dg.RunRecord]:
        return list(self.instance.get_run_records(dg.RunsFilter(job_name="retrain")))

    def record(self, run_id: str) -> dg.RunRecord:
        (record,) = self.instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
        return record

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        return self.record(run_id).dagster_run.status

    def reached(self, run_id: str, status: dg.DagsterRunStatus) -> bool:
        """Whether the run has that status and, once it has started, has named its process."""
        entries = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        named = any(entry.dagster_event and entry.dagster_event.pid for entry in entries)
        return self.status(run_id) == status and named == (status == dg.DagsterRunStatus.STARTED)

    def wait_done(self, run_id: str) -> dg.DagsterRunStatus:
        self.wait(lambda: self.status(run_id) in DONE, RUN_SECONDS, f"end of run {run_id}")
        return self.status(run_id)

    def submit_ingests(self, how_many: int) -> list[str]:
        """Runs of the job, put into the queue at once; their ids."""
        today = datetime.now(UTC).date()
        tags = {RANGE_START: str(today - timedelta(days=1)), RANGE_END: str(today)}
        ids = [str(uuid.uuid4()) for _ in range(how_many)]
        command = [executable("dagster"), "job", "launch", *location_arguments(), "-j", "ingest"]
        arguments = [["--tags", json.dumps(tags), "--run-id", run_id] for run_id in ids]
        launches = [
            subprocess.Popen([*command, *more], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for more in arguments
        ]
        for launch in launches:
            output, _ = launch.communicate(timeout=RUN_SECONDS)
            assert launch.returncode == 0, output.decode()
        return ids

    def ticks(self, sensor: str) -> list[InstigatorTick]:
        """Newest first."""
        state = self.state(sensor)
        return list(self.instance.get_ticks(state.instigator_origin_id, state.selector_id)) if state else []

    def state(self, sensor: str) -> InstigatorState | None:
        return next((state for state in self.instance.all_instigator_state() if state.instigator_name == sensor), None)

    def _data_after_tick(self, sensor: str) -> SensorInstigatorData | None:
        """The stored state of a sensor whose newest tick has ended; ``None`` while a tick is running."""
        state, ticks = self.state(sensor), self.ticks(sensor)
        data = state.instigator_data if state else None
        if not isinstance(data, SensorInstigatorData) or not ticks or ticks[0].status == TickStatus.STARTED:
            return None
        return data if (data.last_tick_timestamp or 0.0) >= ticks[0].timestamp else None

    def next_tick(self, sensor: str) -> InstigatorTick:
        """The next tick of a sensor, told that its last one is long ago."""
        # The daemon writes the sensor's state at the end of a tick: before that, what is written here would be lost.
        self.wait(lambda: self._data_after_tick(sensor) is not None, TICK_SECONDS, f"end of a tick of {sensor}")
        before = len(self.ticks(sensor))
        state, data = self.state(sensor), self._data_after_tick(sensor)
        assert state is not None
        assert data is not None
        long_ago = data._replace(last_tick_timestamp=1.0, last_tick_start_timestamp=1.0)
        self.instance.update_instigator_state(state.with_data(long_ago))
        self.wait(lambda: len(self.ticks(sensor)) > before, TICK_SECONDS, f"tick of {sensor}")
        self.wait(
            lambda: self.ticks(sensor)[0].status != TickStatus.STARTED, TICK_SECONDS, f"end of a tick of {sensor}"
        )
        return self.ticks(sensor)[0]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Started on a lake with the newest days."""
    now = datetime.now(UTC)
    if now.weekday() == SUNDAY and timedelta(hours=now.hour, minutes=now.minute) < RETRAIN_DONE:
        pytest.skip("before Sunday 02:30 UTC the sensor leaves the retrain to the schedule")
    folder, mood = tmp_path_factory.mktemp("daemon"), Mood()
    tomorrow = pd.Timestamp(now).normalize() + pd.Timedelta(days=1)
    with (
        backfilled_prometheus(generate(5, BACK_DAYS + 2, tomorrow, seed=3), folder / "tsdb") as url,
        faulty(url, mood) as server,
    ):
        variables = {
            "AIOPS_ENV": "staging",
            "AIOPS_HOME": str(folder / "home"),
            "DATA_SOURCE": "hybrid",
            "PROMETHEUS_URL": server.url,
            "TRAINING_PODS": "5",
            "RETRAIN_AFTER_DAYS": "7",
            "SCORE_MINUTES": "60",  # a run of scores takes the server's time from the fetches that are watched here
            "MODELS": ",".join(FEW),
        }
        settings = load_settings(variables)
        inherited = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CONFIG_HOME")
            if name in os.environ
        }
        home = dagster_environment(settings)["DAGSTER_HOME"]
        environment = {**inherited, **variables, "DAGSTER_HOME": home}
        fill(environment, now.date())
        with dg.DagsterInstance.from_config(home) as instance:
            made = Daemon(environment, instance, settings, mood, folder / "daemon.log")
            try:
                made.start()
                yield made
            finally:
                made.stop()


def fill(environment: dict[str, str], today: date) -> None:
    days = f"{today - timedelta(days=BACK_DAYS)}...{today}"
    command = [executable("dagster"), "asset", "materialize", *location_arguments()]
    done = subprocess.run(
        [*command, "--select", "raw_metrics", "--partition-range", days],
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_sensor_retrains_once_and_a_version_is_served(daemon: Daemon) -> None:
    if datetime.now(UTC).weekday() == SUNDAY:
        # The first look only makes a note: the schedule may be about to catch up.
        daemon.wait(lambda: bool(daemon.ticks(SENSOR)), TICK_SECONDS, f"tick of {SENSOR}")
        daemon.next_tick(SENSOR)
    daemon.wait(lambda: bool(daemon.retrains()), TICK_SECONDS, "run of the sensor")
    (record,) = daemon.retrains()
    run = record.dagster_run
    assert daemon.wait_done(run.run_id) == dg.DagsterRunStatus.SUCCESS, daemon.tail()

    day = record.create_timestamp.date()
    assert run.tags["dagster/sensor_name"] == SENSOR
    assert run.tags[RUN_KEY] == f"retrain-default-{day}"
    queued = daemon.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_ENQUEUED)
    assert len(queued) == 1

    # The range of days was one run, and the rest of the graph came after it.
    entries = daemon.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    made = [(event.asset_key, event.partition) for entry in entries if (event := entry.dagster_event)]
    expected = {str(day - timedelta(days=back)) for back in range(8)}
    assert {partition for key, partition in made if key == RAW_METRICS} == expected
    others = {key.to_user_string() for key, _ in made if key and key != RAW_METRICS}
    assert others - {"synthetic_series"} == set(AFTER_DATA)

    served = stores_of(daemon.settings).served()
    champion = served.champion(NAME)
    assert champion is not None
    manifest = served.manifest(NAME, champion.champion.version, champion.champion.manifest_sha256)
    assert (manifest.dagster_run_id, manifest.effective_source) == (run.run_id, "prometheus+synthetic")
    assert manifest.window_end
    assert manifest.window_end.date() == day

    tick = daemon.next_tick(SENSOR)
    assert tick.status == TickStatus.SKIPPED, tick
    assert "0 complete days are newer" in (tick.tick_data.skip_reason or "")
    assert len(daemon.retrains()) == 1


@pytest.fixture
def settled(daemon: Daemon) -> Daemon:
    """After the sensor's first run: Dagster makes a pool at its first look at the queue, and heeds it from then on."""
    if datetime.now(UTC).weekday() == SUNDAY:
        # The first look only makes a note: the schedule may be about to catch up.
        daemon.wait(lambda: bool(daemon.ticks(SENSOR)), TICK_SECONDS, f"tick of {SENSOR}")
        daemon.next_tick(SENSOR)
    daemon.wait(lambda: bool(daemon.retrains()), TICK_SECONDS, "run of the sensor")
    for record in daemon.retrains():
        daemon.wait_done(record.dagster_run.run_id)
    return daemon


def test_two_fetches_at_once_run_one_after_the_other(settled: Daemon) -> None:
    with settled.mood.of(Reply(hang_seconds=SLOW)):
        ids = settled.submit_ingests(2)
        assert [settled.wait_done(run_id) for run_id in ids] == [dg.DagsterRunStatus.SUCCESS] * 2, settled.tail()
    first, second = sorted(map(settled.record, ids), key=lambda record: record.start_time or 0)
    assert first.end_time
    assert second.start_time
    # It stood in the queue while the first ran, and not for want of being asked.
    assert second.create_timestamp.timestamp() < first.end_time - SLOW
    assert second.start_time >= first.end_time
    assert f"Run {second.dagster_run.run_id} is blocked by global concurrency limits" in settled.log.read_text()


def test_a_failed_run_and_its_cause_are_in_the_daemons_log(settled: Daemon) -> None:
    with settled.mood.of(Reply(401, body=b"no entry")):
        (run_id,) = settled.submit_ingests(1)
        assert settled.wait_done(run_id) == dg.DagsterRunStatus.FAILURE, settled.tail()
    said = f"ERROR - __repository__ - {FAILURES} - run {run_id} of job ingest failed: raw_metrics: "
    settled.wait(lambda: said in settled.log.read_text(), TICK_SECONDS, f"line in the log: {said}")
    line = settled.log.read_text().partition(said)[2].splitlines()[0]
    assert "401" in line


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED] * DEATHS)
def test_the_run_of_a_machine_that_died_gives_the_lake_back(
    settled: Daemon, status: dg.DagsterRunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    with settled.mood.of(Reply(hang_seconds=5)):
        (dead,) = settled.submit_ingests(1)
        settled.wait(lambda: settled.reached(dead, status), RUN_SECONDS, f"run that is {status.value}")
        settled.kill()
    assert settled.status(dead) == status
    settled.start()
    (waiting,) = settled.submit_ingests(1)
    blocked = f"Run {waiting} is blocked by global concurrency limits"
    settled.wait(lambda: blocked in settled.log.read_text(), TICK_SECONDS, "second look at the queue")

    settled.next_tick(SENSOR)
    if status == dg.DagsterRunStatus.STARTING:
        assert settled.status(dead) == status, "a run may need minutes to start"
        monkeypatch.setattr(run_history, "START", timedelta(0))
        closed = run_history.close_dead_runs(settled.instance)  # a run of the schedule may be starting, too
        assert dead in closed
        assert waiting not in closed
    assert settled.status(dead) == dg.DagsterRunStatus.FAILURE
    assert settled.wait_done(waiting) == dg.DagsterRunStatus.SUCCESS, settled.tail()
