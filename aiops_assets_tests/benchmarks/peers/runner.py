"""Scores every series of a folder by every peer, each in a process that is stopped when it takes too long.

``python -m aiops_assets_tests.benchmarks.peers.runner DATA SCORES``, by the peers' own environment.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_assets_tests.benchmarks.peers import score_files
from aiops_assets_tests.benchmarks.peers.methods import PEERS
from aiops_assets_tests.benchmarks.peers.series import Method, series_files, series_of

HERE = Path(__file__).parent
LIMIT_SECONDS = 120.0
ScoreFrame = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Task:
    """A method over the series of a folder.

    Attributes:
        name: of its folder of scores.
        score: a series' frame -> ``timestamp``, ``score`` and perhaps ``alert`` of every row.
        made_by: what kept scores must have been made by to stand.
        imports: modules that every series needs: imported before, since that is no part of scoring.
    """

    name: str
    score: ScoreFrame
    made_by: str
    imports: tuple[str, ...] = ()


def run(tasks: list[Task], data: Path, scores: Path, *, again: bool, limit: float) -> list[str]:
    """Write the score files that are missing or stale; one line a series.

    Returns:
        what could not be scored, and why.
    """
    problems = []
    files = series_files(data)
    for module in {name for task in tasks for name in task.imports}:
        import_module(module)
    for number, source in enumerate(files, start=1):
        done = []
        for task in tasks:
            target = scores / task.name / source.name
            if not again and score_files.is_current(target, source, task.made_by):
                continue
            target.unlink(missing_ok=True)
            if problem := _in_process(task, source, target, limit):
                problems.append(f"{task.name} has no scores of {source.stem}: {problem}")
            done.append(f"{task.name} {problem or f'{score_files.seconds(target):.1f} s'}")
        print(f"{number}/{len(files)} {source.stem}: {', '.join(done) or 'kept'}", flush=True)
    return problems


def by_method(method: Method) -> ScoreFrame:
    """A method as something that scores a frame."""

    def score(frame: pd.DataFrame) -> pd.DataFrame:
        series = series_of(frame)
        found = method(series)
        if found.score.shape != (len(frame),) or not np.isfinite(found.score).all():
            raise ValueError(f"scores of shape {found.score.shape} for {len(frame)} rows, or not all finite")
        scored = pd.DataFrame({"timestamp": series.frame["timestamp"], "score": found.score})
        return scored if found.alert is None else scored.assign(alert=found.alert)

    return score


def arguments(description: str, limit: float) -> argparse.ArgumentParser:
    """What this and ``ours`` are asked."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path, help="folder with series/*.parquet and labels/*.parquet")
    parser.add_argument("scores", type=Path, help="folder for the score files")
    parser.add_argument("--again", action="store_true", help="also what is already scored")
    parser.add_argument("--only", default="", help="comma-separated methods")
    parser.add_argument("--limit", type=float, default=limit, help="seconds a method may take for a series")
    return parser


def selected(tasks: list[Task], only: str) -> list[Task]:
    """The tasks with these comma-separated names; all when there is none."""
    return [task for task in tasks if not only or task.name in only.split(",")]


def _in_process(task: Task, source: Path, target: Path, limit: float) -> str:
    """What went wrong; empty when nothing did. A fork: it has the imports."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_score, args=(task, source, target, theirs), daemon=True)
    process.start()
    theirs.close()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        return f"skipped after {limit:g} s"
    try:
        return str(ours.recv())
    except EOFError:
        return f"its process died with exit code {process.exitcode}"


def _score(task: Task, source: Path, target: Path, answer: Connection) -> None:
    try:
        frame = pd.read_parquet(source)
        begun = time.perf_counter()
        scored = task.score(frame)
        score_files.write(target, scored, time.perf_counter() - begun, task.made_by)
        answer.send("")
    except Exception as error:  # noqa: BLE001 - somebody's library: whatever it raises is said, the others go on
        answer.send(f"{type(error).__name__}: {error}".splitlines()[0])


def main() -> int:
    """Score by the peers; the exit code."""
    asked = arguments("Score a folder of series by the peers.", LIMIT_SECONDS).parse_args()
    tasks = [
        Task(name, by_method(peer.method), score_files.digest([HERE / file for file in peer.modules]), peer.imports)
        for name, peer in PEERS.items()
    ]
    for problem in run(selected(tasks, asked.only), asked.data, asked.scores, again=asked.again, limit=asked.limit):
        print(problem, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
