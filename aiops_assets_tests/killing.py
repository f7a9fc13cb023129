"""Commands as people type them, ended by SIGKILL after a time."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """A command that was started; ``killed`` is false when it ended before its moment."""

    code: int
    seconds: float
    output: str
    killed: bool


def attempt(command: Sequence[str], environment: Mapping[str, str], seconds: float | None = None) -> Attempt:
    """Run a command for at most so many seconds; its whole process group is gone when this returns."""
    started = time.monotonic()
    with subprocess.Popen(
        command,
        env={**inherited(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        killed = False
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            killed = True
            output, _ = process.communicate()
    return Attempt(process.returncode, time.monotonic() - started, output, killed)


def inherited() -> dict[str, str]:
    """What a command may take over: no settings, and no other home."""
    return {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG", "XDG_CONFIG_HOME", "OMP_NUM_THREADS")
        if name in os.environ
    }
