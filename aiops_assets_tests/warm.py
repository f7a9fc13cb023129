"""Processes that need not import anything: forked from one that has.

Imports are half of a small run, and write nothing. What a test wants of a process that is killed, or repeated a hundred
times, is what follows them.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

IMPORTS = (
    "dagster._cli",
    "aiops_assets.definitions",
    "aiops_assets.registry.champions",
    "joblib",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.impute",
    "sklearn.pipeline",
    "scipy.stats",
    "mlflow.tracking",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "PIL.Image",
)
"""What a run of the graph with a model of scikit-learn loads. None starts a Python thread, which a fork would lose."""


def warm_processes() -> ForkServerContext:
    """What starts such processes. A process of tests has one server for all of them, so its imports are one list."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTS))
    return context


def forked_dagster(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, output: Path
) -> ForkServerProcess:
    """Start the command ``dagster``, as the leader of a process group of its own.

    Args:
        arguments: after the program's name.
        environment: all of it.
        folder: where it works.
        output: file for what it prints.
    """
    process = warm_processes().Process(target=_run, args=(list(arguments), dict(environment), str(folder), str(output)))
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
