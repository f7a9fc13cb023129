"""Dagster's command in a process of its own that need not import anything: forked from one that has.

Imports are half of a small run, and write nothing. What a test wants of a run that is killed, or repeated a hundred
times, is what follows them.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

IMPORTS = (
    "dagster._cli",
    "aiops_assets.definitions",
    "sklearn.ensemble",
    "scipy.stats",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "PIL.Image",
)
"""What a run of the graph with a model of scikit-learn loads. None of them starts a thread, which a fork would lose."""


def forked_dagster(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, output: Path
) -> ForkServerProcess:
    """Start ``dagster`` with these arguments, as the leader of a process group of its own.

    Args:
        arguments: after the program's name.
        environment: all of it.
        folder: where it works.
        output: file for what it prints.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTS))
    process = context.Process(target=_run, args=(list(arguments), dict(environment), str(folder), str(output)))
    process.start()
    return process


def end_group(process: ForkServerProcess) -> None:
    """Kill a forked process and all that it started, and wait for its end."""
    assert process.pid is not None
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it leads no group yet
        process.kill()
    process.join()


def _run(arguments: list[str], environment: dict[str, str], folder: str, output: str) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    with Path(output).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["dagster", *arguments]
    import_module("dagster._cli").main()
