"""What is made once in a run of the tests: by whichever worker needs it first, for all of them.

Workers are processes (pytest-xdist); what they share lies in one folder that pytest gives to the run. Nobody changes
what lies there: a test that wants to takes a copy.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock

MAKING_SECONDS = 600
"""How long a worker waits for another one that is making the same."""
_shared: list[Path] = []


def share_in(folder: Path) -> None:
    """From now on this process finds here what others made; conftest.py says where."""
    _shared[:] = [folder]


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of that name, after ``make`` has filled it, in this process or in another one.

    Outside pytest, as in the benchmarks, each process has its own.
    """
    if not _shared:
        share_in(Path(mkdtemp(prefix="made-once-")))
    folder = _shared[0] / name
    done = folder.with_name(f"{name}.done")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=MAKING_SECONDS):
        if not done.exists():
            # In its place, not renamed into it: homes hold absolute paths.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
