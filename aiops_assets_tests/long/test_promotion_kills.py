"""Promotions and rollbacks killed with SIGKILL at seeded moments, and two promotions at once in two processes.

A child counts what it does to files and databases below the home, and kills itself just before the operation that was
drawn for it: so every kill lands inside the work. A third of the moments lies before the champion record is moved, a
third around that, a third after it. Children are forked from one server that has imported MLflow.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from aiops_assets.errors import AiopsError, ConflictError
from aiops_assets.registry import champions
from aiops_assets.registry.version import version_of
from aiops_assets.storage.champion_record import CHAMPION
from aiops_assets.storage.records import ChampionRecord
from aiops_assets.storage.served import ServedModels
from aiops_assets_tests.killing import attempt
from aiops_assets_tests.lengths import at_length
from aiops_assets_tests.registry.champion_home import ChampionHome, home_of
from aiops_assets_tests.warm import warm_processes

KILLS = at_length(50, 400)
MIN_KILLED = KILLS * 9 // 10
COMMANDS = at_length(4, 400)
"""So many are killed as people type them, at any moment."""
VERSIONS = 4
AROUND_THE_MOVE = 6
"""Operations before and after the record's rename: lock, read, write beside; and then the link."""
DEADLINE = 120.0
EVENTS = ("open", "os.rename", "os.remove", "os.symlink", "os.mkdir", "os.rmdir", "fcntl.flock", "sqlite3.connect")


@dataclass(frozen=True)
class Act:
    """What a child does: a promotion of ``version``, or a rollback to it (``None``: to the default)."""

    promotes: bool
    version: int | None

    def on(self, home: ChampionHome, served: ServedModels | None = None, who: str = "child") -> ChampionRecord:
        where = (served or home.served, home.tracker, home.spec)
        if self.promotes:
            assert self.version is not None
            return champions.promote(*where, self.version, reason="drawn", who=who)
        return champions.rollback(*where, self.version, reason="drawn", who=who)


class Operations:
    """Counts operations below a folder, and ends the process before one of them."""

    def __init__(self, folder: Path, last: int | None) -> None:
        self.folder = str(folder)
        self.last = last
        self.count = 0
        self.moved_at = 0
        sys.addaudithook(self._audited)
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        event.listen(Engine, "before_cursor_execute", lambda *_: self._step())
        event.listen(Engine, "commit", lambda *_: self._step())

    def _audited(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name not in EVENTS or not (name == "fcntl.flock" or str(arguments[0]).startswith(self.folder)):
            return
        self._step()
        if name == "os.rename" and str(arguments[1]).endswith(CHAMPION):
            self.moved_at = self.count

    def _step(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def act(folder: Path, what: Act, last: int | None, report: Path) -> None:
    """In a child: do it, and die before operation ``last``; whoever lives says how many there were."""
    home = home_of(folder)
    operations = Operations(folder, last)
    what.on(home)
    count, moved_at = operations.count, operations.moved_at
    report.write_text(json.dumps({"operations": count, "moved_at": moved_at}))


def judge(folder: Path, before: int, what: Act, digests: dict[str, list[str]], report: Path) -> None:
    """In a child: what is wrong after a kill, and after the next reconcile; and what may be done next."""
    home = home_of(folder)
    problems = []
    moved = False
    try:
        problems += list(champion_problems(home, before, what))
        moved = home.champion() != before
        found = champions.reconcile(home.served, home.tracker, home.name)
        problems += list(disagreements(home))
        for version, expected in digests.items():
            if sorted(home.served.manifest(home.name, int(version)).files.values()) != expected:
                problems.append(f"version {version} is not what it was")
            home.served.verified(home.name, int(version), home.digest(int(version)))
    except AiopsError as error:
        problems.append(f"{type(error).__name__}: {error}")
        found = []
    record = home.served.champion(home.name)
    assert record
    vetoed = {veto.version for veto in record.vetoed}
    report.write_text(
        json.dumps(
            {
                "problems": problems,
                "moved": moved,
                "mended": [one.text for one in found],
                "champion": record.champion.version,
                "can_go_back": any(move.version not in vetoed for move in record.earlier),
            }
        )
    )


def champion_problems(home: ChampionHome, before: int, what: Act) -> Any:
    """There is exactly one champion, it is the old or the new one, whole, and the record tells how it came to be."""
    record = home.served.champion(home.name)
    if record is None:
        yield "nothing is served"
        return
    champion = record.champion
    model = version_of(home.served, home.spec, champion).model()
    yield from home.spec.family.smoke_problems(model)
    if champion.version == before:
        return
    if what.version is not None and champion.version != what.version:
        yield f"champion is version {champion.version}, expected {before} or {what.version}"
    if not record.history or record.history[0].version != before:
        yield f"the history does not begin with version {before}"
    vetoed = {veto.version for veto in record.vetoed}
    if (before in vetoed) == what.promotes or champion.version in vetoed:
        yield f"vetoed are {vetoed} after {what} from {before}"


def disagreements(home: ChampionHome) -> Any:
    version = home.champion()
    if home.said() != (version, version, str(version)):
        yield f"after reconciling, record, alias and link say {home.said()}"
    if again := champions.reconcile(home.served, home.tracker, home.name):
        yield f"a second reconcile still finds {again}"


def promote_together(folder: Path, version: int, barrier: Any, report: Path) -> None:
    """In a child: promote, having decided when the other has decided too."""

    class Waiting(ServedModels):
        def move_champion(self, *args: object, **more: object) -> ChampionRecord:
            barrier.wait(DEADLINE)
            return super().move_champion(*args, **more)  # type: ignore[arg-type]

    home = home_of(folder)
    try:
        Act(True, version).on(home, Waiting(home.served.storage, home.served.keys), who=f"person {version}")
        report.write_text("won")
    except ConflictError as error:
        report.write_text(str(error))


@dataclass
class Stage:
    """A home with four versions, and children that work on it.

    Attributes:
        whole: operations of a whole promotion (``True``) and a whole rollback, and the one that moves the record.
    """

    context: ForkServerContext
    folder: Path
    digests: dict[str, list[str]] = field(default_factory=dict)
    whole: dict[bool, tuple[int, int]] = field(default_factory=dict)

    @property
    def report(self) -> Path:
        return self.folder.parent / "report.json"

    def child(self, function: Callable[..., None], *arguments: object) -> int:
        """Run a function in a child that is forked warm; its exit code, -9 when it was killed."""
        self.report.unlink(missing_ok=True)
        process = self.context.Process(target=function, args=arguments)
        process.start()
        process.join(DEADLINE)
        assert process.exitcode is not None, "the child hangs"
        return process.exitcode

    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.report.read_text()))

    def measure(self, what: Act) -> None:
        assert self.child(act, self.folder, what, None, self.report) == 0
        told = self.told()
        assert 0 < told["moved_at"] < told["operations"]
        self.whole[what.promotes] = told["operations"], told["moved_at"]


def fill(folder: Path, report: Path) -> None:
    """In a child: four versions, of which the first is served."""
    home = home_of(folder)
    for _ in range(VERSIONS):
        home.add()
    home.serve(1, None)
    manifests = [home.served.manifest(home.name, version) for version in home.served.versions(home.name)]
    report.write_text(json.dumps({str(made.version): sorted(made.files.values()) for made in manifests}))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    context = warm_processes()
    made = Stage(context, tmp_path / "home")
    assert made.child(fill, made.folder, made.report) == 0
    made.digests = made.told()
    return made


@pytest.mark.long
def test_kills_leave_one_valid_champion_and_the_next_reconcile_mends(stage: Stage) -> None:
    rng = random.Random(0)
    stage.measure(Act(True, 2))
    stage.measure(Act(False, None))
    champion, can_go_back = 1, False
    problems: list[str] = []
    killed: list[tuple[bool, bool]] = []
    mended = 0
    for iteration in range(KILLS):
        promotes = iteration % 2 == 0
        other = rng.choice([version for version in range(1, VERSIONS + 1) if version != champion])
        what = Act(promotes, None if not promotes and can_go_back else other)
        operations, moved_at = stage.whole[promotes]
        spans = ((1, moved_at), (moved_at - AROUND_THE_MOVE, moved_at + AROUND_THE_MOVE), (moved_at + 1, operations))
        last = rng.randint(*spans[iteration // 2 % len(spans)])
        code = stage.child(act, stage.folder, what, last, stage.report)
        assert code in (0, -signal.SIGKILL), f"{what} ended with exit code {code}"
        assert stage.child(judge, stage.folder, champion, what, stage.digests, stage.report) == 0
        told = stage.told()
        where = f"iteration {iteration}, {what} from version {champion}, operation {last} of {operations}"
        problems += [f"{where}: {problem}" for problem in told["problems"]]
        if code:
            killed.append((promotes, told["moved"]))
            mended += bool(told["mended"])
        print(f"{where}: {'killed' if code else 'ended'}, moved: {told['moved']}, {told['mended']}", file=sys.stderr)
        champion, can_go_back = told["champion"], told["can_go_back"]

    assert not problems, "\n".join(problems)
    print(f"{len(killed)} of {KILLS} were killed, {mended} of them had something to mend", file=sys.stderr)
    assert len(killed) >= MIN_KILLED
    # Promotions and rollbacks, each before and after the record was moved; and some left something behind.
    assert set(killed) == {(True, False), (True, True), (False, False), (False, True)}
    assert mended


@pytest.mark.long
def test_killed_commands_leave_one_valid_champion(stage: Stage, aiops: str) -> None:
    rng = random.Random(1)
    name = home_of(stage.folder).name
    environment = {"AIOPS_HOME": str(stage.folder)}
    whole = attempt([aiops, "promote", name, "2"], environment)
    assert whole.code == 0, whole.output
    champion, can_go_back = 2, True
    problems: list[str] = []
    killed = 0
    for iteration in range(COMMANDS):
        promotes = iteration % 2 == 0 or not can_go_back
        other = rng.choice([version for version in range(1, VERSIONS + 1) if version != champion])
        command = [aiops, "promote", name, str(other)] if promotes else [aiops, "rollback", name]
        run = attempt(command, environment, rng.uniform(0.3, 1.0) * whole.seconds)
        assert run.killed or run.code == 0, run.output
        what = Act(promotes, other if promotes else None)
        assert stage.child(judge, stage.folder, champion, what, stage.digests, stage.report) == 0
        told = stage.told()
        problems += [f"command {iteration}, {command[1:]} from version {champion}: {one}" for one in told["problems"]]
        killed += run.killed
        champion, can_go_back = told["champion"], told["can_go_back"]
    assert not problems, "\n".join(problems)
    print(f"{killed} of {COMMANDS} commands were killed", file=sys.stderr)
    assert killed


@pytest.mark.long
def test_of_two_promotions_at_once_in_two_processes_one_wins_and_the_other_says_so(stage: Stage) -> None:
    for iteration in range(6):
        pair = (2, 3) if iteration % 2 == 0 else (4, 1)
        barrier = stage.context.Barrier(2)
        reports = {version: stage.folder.parent / f"{iteration}-{version}" for version in pair}
        children = [
            stage.context.Process(target=promote_together, args=(stage.folder, version, barrier, reports[version]))
            for version in pair
        ]
        for child in children:
            child.start()
        for child in children:
            child.join(DEADLINE)
        assert [child.exitcode for child in children] == [0, 0]
        told = {version: path.read_text() for version, path in reports.items()}
        (winner,) = [version for version, text in told.items() if text == "won"]
        (lost,) = [text for text in told.values() if text != "won"]
        assert f"champion is version {winner}, was " in lost
        assert f"moved by person {winner} on " in lost
        assert "nothing was changed" in lost
        home = home_of(stage.folder)
        assert home.champion() == winner
        assert home.served.current(home.name) == str(winner)
