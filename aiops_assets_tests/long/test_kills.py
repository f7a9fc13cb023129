"""`make run` killed with SIGKILL at seeded moments: what is served stays whole, and the next run heals.

The moments are random ones of equal parts of a run, so that no stretch of it is left out. Each kill ends the whole
process group of a training run with a seed of its own; then the disk is judged. After every third kill, so that runs
also begin on what killed ones left, the same run is made again and judged once more. Every eighth is `aiops run`, the
others are the Dagster process that it starts, forked after its imports; of `make soak` all are `aiops run`. Two lanes
with a home each share the work.
"""

import random
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from typing_extensions import override

from aiops_assets.commands.running import LOGGER, location_arguments, selection
from aiops_assets.errors import AiopsError
from aiops_assets.families.anomaly_detector import RowForest
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.pipeline.resources import stores_of, tracking_of
from aiops_assets.registry.lineage import LineageReader
from aiops_assets.registry.reconciling import CHAMPION_ALIAS
from aiops_assets.settings import Settings, load_settings
from aiops_assets.storage.local_files import STAGING
from aiops_assets.storage.served import CURRENT, MANIFEST, MODEL_FILE, SIGNATURE, ServedModels
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.killing import Attempt, attempt, inherited
from aiops_assets_tests.lengths import at_length, soaking
from aiops_assets_tests.warm import end_group, forked_dagster

NAME = "anomaly-detector"
KILLS = at_length(32, 100)
MIN_KILLED = KILLS * 5 // 8
"""A run may end before its moment comes; most must not."""
LANES = 2
EVERY_TYPED = 1 if soaking() else 8
KILLS_A_HEALING = 3
SMALL = {
    "TRAINING_PODS": "20",
    "N_SAMPLES": "2000",
    "TRAINING_DAYS": "3",
    "KEEP_VERSIONS": "1000",
    "MODELS": NAME,
}
JUDGING = threading.Lock()
"""MLflow and warnings filters are the process's own: one lane judges at a time."""


@dataclass(frozen=True)
class Moment:
    """When a run is killed, as a share of the time that a whole one takes. ``iteration`` is its seed too."""

    iteration: int
    share: float


@dataclass(frozen=True)
class Before:
    """What was served when a run began; the run itself may add one version."""

    champion: int
    newest: int
    link: str

    @property
    def allowed(self) -> tuple[int, int]:
        return self.champion, self.newest + 1


@dataclass(frozen=True)
class Outcome:
    """One iteration: whether the run was killed, whether it had committed its version, and what was wrong."""

    killed: bool
    committed: bool
    problems: tuple[str, ...]


def seeded_moments() -> list[Moment]:
    """Of forked runs anywhere; of `aiops run` after its imports. Each kind has a moment in each equal part."""
    rng = random.Random(0)
    typed = {i for i in range(1, KILLS + 1) if i % EVERY_TYPED == 0}
    forked = set(range(1, KILLS + 1)) - typed
    return sorted([*_spread(forked, 0.0, rng), *_spread(typed, 0.4, rng)], key=lambda moment: moment.iteration)


def _spread(iterations: set[int], start: float, rng: random.Random) -> list[Moment]:
    """One moment in each of as many equal parts of a run from ``start`` on, in random order."""
    if not iterations:
        return []
    parts = rng.sample(range(len(iterations)), len(iterations))
    width = (1.0 - start) / len(iterations)
    return [Moment(i, start + width * (part + rng.random())) for i, part in zip(sorted(iterations), parts, strict=True)]


class Way(ABC):
    """How a training run is started; ``seconds`` is what a whole one takes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.seconds = 0.0

    @abstractmethod
    def attempt(self, seed: int, seconds: float | None = None) -> Attempt:
        """Run it, for at most so many seconds. Whoever holds its output is gone when this returns."""


class Typed(Way):
    """`aiops run` as people type it."""

    def __init__(self, aiops: str, home: Path) -> None:
        super().__init__(home)
        self.command = [aiops, "run"]

    @override
    def attempt(self, seed: int, seconds: float | None = None) -> Attempt:
        return attempt(self.command, variables(self.home, seed), seconds)


class Forked(Way):
    """The Dagster command of `aiops run` without the imports that come first, in a home that `aiops run` has made."""

    @override
    def attempt(self, seed: int, seconds: float | None = None) -> Attempt:
        chosen = {**inherited(), **variables(self.home, seed), "DAGSTER_HOME": str(self.home / "dagster")}
        settings = load_settings(chosen)
        arguments = ["asset", "materialize", *location_arguments(), *selection(settings), "--config-json", LOGGER]
        output = self.home.with_name(f"{self.home.name}.log")
        started = time.monotonic()
        process = forked_dagster(arguments, chosen, self.home.parent, output)
        process.join(seconds)
        killed = process.is_alive()
        if killed:
            end_group(process)
        return Attempt(process.exitcode or 0, time.monotonic() - started, output.read_text(), killed)


def variables(home: Path, seed: int) -> dict[str, str]:
    return {"AIOPS_HOME": str(home), "SYNTHETIC_END": "2026-11-01", "RANDOM_SEED": str(seed), **SMALL}


def versions_on_disk(folder: Path) -> list[int]:
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdigit())


def version_problems(served: ServedModels, folder: Path, version: int) -> Iterator[str]:
    """A version directory is its signed manifest and exactly the files that this names."""
    try:
        manifest = served.manifest(NAME, version)
    except AiopsError as error:
        yield f"version {version} is half served: {error}"
        return
    there = {entry.name for entry in (folder / str(version)).iterdir()}
    if there != {MANIFEST, SIGNATURE, *manifest.files}:
        yield f"version {version} holds {sorted(there)}, its manifest names {sorted(manifest.files)}"
    for check in served.check_files(manifest):
        if not check.verified:
            yield f"version {version} is half served: {check.path} differs from its manifest"


def champion_problems(served: ServedModels, before: Before) -> Iterator[str]:
    """The champion is the old or the new one, is what its record says, and answers."""
    try:
        record = served.champion(NAME)
        if record is None:
            yield f"nothing is served, version {before.champion} was"
            return
        champion = record.champion
        if champion.version not in before.allowed:
            yield f"champion is version {champion.version}, expected one of {before.allowed}"
        data = served.load_file(NAME, champion.version, MODEL_FILE, champion.manifest_sha256)
    except AiopsError as error:
        yield f"the champion cannot be loaded: {error}"
        return
    yield from RowForest().smoke_problems(isolation_forest.from_bytes(data))


def disk_problems(settings: Settings, before: Before) -> Iterator[str]:
    """What must hold at any moment."""
    served = stores_of(settings).served()
    folder = Path(settings.model_root) / NAME
    versions = versions_on_disk(folder)
    whole = list(range(1, before.newest + 1))
    if versions not in (whole, [*whole, before.newest + 1]):
        yield f"versions are {versions}, were {whole}"
    for version in versions:
        yield from version_problems(served, folder, version)
    yield from champion_problems(served, before)
    link = folder / CURRENT
    target = str(link.readlink()) if link.is_symlink() else None
    # Where the run before was killed, the link may still be behind.
    if target not in {before.link, *(str(version) for version in versions if version in before.allowed)}:
        yield f"{CURRENT} points at {target}, expected one of {before.allowed}"


def healing_problems(settings: Settings, before: Before) -> Iterator[str]:
    """What must hold after a whole run: everything is there once, and every store says the same."""
    yield from disk_problems(settings, before)
    stores, tracker = stores_of(settings), tracking_of(settings).tracker()
    served = stores.served()
    folder = Path(settings.model_root) / NAME
    if served.versions(NAME)[-1] != before.newest + 1:
        yield f"versions are {served.versions(NAME)}, the run should have added {before.newest + 1}"
    if left := sorted(entry.name for entry in folder.glob(f"{STAGING}*")):
        yield f"staging folders are left: {left}"
    chain = LineageReader(served, stores.training_sets(), stores.lake(), tracker).trace(NAME)
    yield from chain.problems
    if (alias := tracker.alias(NAME, CHAMPION_ALIAS)) != chain.version:
        yield f"MLflow's alias is at version {alias}, the champion is {chain.version}"
    if (link := (folder / CURRENT).readlink()) != Path(str(chain.version)):
        yield f"{CURRENT} points at {link}, the champion is {chain.version}"
    if running := running_in_mlflow(settings):
        yield f"MLflow runs {running} seem to train for ever"
    if running := running_in_dagster(settings):
        yield f"Dagster runs {running} seem to go on for ever"


def running_in_mlflow(settings: Settings) -> list[str]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=settings.mlflow_tracking_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [run.info.run_id for run in client.search_runs(experiments, "attributes.status = 'RUNNING'")]


def running_in_dagster(settings: Settings) -> list[str]:
    with dg.DagsterInstance.from_config(str(settings.aiops_home / "dagster")) as instance:
        return [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))]


def state_of(settings: Settings) -> Before:
    served = stores_of(settings).served()
    record = served.champion(NAME)
    assert record is not None
    link = Path(settings.model_root) / NAME / CURRENT
    return Before(record.champion.version, served.versions(NAME)[-1], str(link.readlink()))


class Lane:
    """A home with a champion, in which one run after the other is killed and made again."""

    def __init__(self, aiops: str, home: Path) -> None:
        self.settings = make_settings(home, **SMALL)
        self.typed, self.forked = Typed(aiops, home), Forked(home)
        # The first run also makes the databases, so later ones tell how long a run takes.
        ways: tuple[Way, ...] = (self.typed, self.typed, self.forked)
        for seed, way in enumerate(ways, KILLS + 1):
            whole = way.attempt(seed)
            assert whole.code == 0, whole.output
            way.seconds = whole.seconds

    def run(self, moments: list[Moment]) -> list[Outcome]:
        """Every iteration, up to the first one that goes wrong."""
        outcomes = []
        for position, moment in enumerate(moments, 1):
            heals = position % KILLS_A_HEALING == 0 or position == len(moments)
            outcomes.append(self.iteration(moment, heals=heals))
            if outcomes[-1].problems:
                break
        return outcomes

    def iteration(self, moment: Moment, *, heals: bool) -> Outcome:
        """Kill, judge, and if it ``heals`` run again and judge."""
        before = state_of(self.settings)
        way: Way = self.typed if moment.iteration % EVERY_TYPED == 0 else self.forked
        planned = moment.share * way.seconds
        run = way.attempt(moment.iteration, planned)
        where = f"iteration {moment.iteration}, {planned:.2f} of {way.seconds:.2f} s ({moment.share:.0%}), "
        where += "killed" if run.killed else f"ended with exit code {run.code}"
        with JUDGING:
            problems = [f"{where}: {problem}" for problem in disk_problems(self.settings, before)]
        committed = versions_on_disk(Path(self.settings.model_root) / NAME)[-1] > before.newest

        if not heals:
            return Outcome(run.killed, committed, tuple(problems))
        healing = way.attempt(moment.iteration)
        if healing.code:
            problems.append(f"{where}: the next run ended with exit code {healing.code}: {healing.output[-3000:]}")
        else:
            with JUDGING:
                found = list(healing_problems(self.settings, before))
            problems += [f"{where}, after the next run: {problem}" for problem in found]
        # A machine that became slower or faster moves the moments with it, told by a whole run that trained.
        if not run.killed:
            way.seconds = run.seconds
        elif not committed:
            way.seconds = healing.seconds
        print(where, "committed" if committed else "", f"healed in {healing.seconds:.1f} s", file=sys.stderr)
        return Outcome(run.killed, committed, tuple(problems))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own use of SQLAlchemy
def test_kills_leave_the_served_model_whole_and_the_next_run_heals(aiops: str, tmp_path: Path) -> None:
    moments = seeded_moments()
    with ThreadPoolExecutor(LANES) as pool:
        lanes = list(pool.map(lambda number: Lane(aiops, tmp_path / f"lane-{number}"), range(LANES)))
        shares = [moments[number::LANES] for number in range(LANES)]
        outcomes = [outcome for lane in pool.map(Lane.run, lanes, shares) for outcome in lane]

    problems = [problem for outcome in outcomes for problem in outcome.problems]
    assert not problems, "\n".join(problems)
    assert len(outcomes) == KILLS
    killed = [outcome for outcome in outcomes if outcome.killed]
    assert len(killed) >= MIN_KILLED
    # Otherwise the moments miss the part that matters.
    assert {outcome.committed for outcome in killed} == {False, True}
