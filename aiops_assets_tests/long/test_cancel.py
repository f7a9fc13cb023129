"""`aiops run`, interrupted: one line, an exit code of its own, cancelled in the history, and what is served stays."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest

from aiops_assets.commands.running import CANCELLED

pytestmark = pytest.mark.long
SMALL = {"MODELS": "anomaly-detector", "TRAINING_PODS": "10", "N_SAMPLES": "500", "SYNTHETIC_END": "2026-11-01"}
SECONDS = 120


def test_an_interrupted_run_ends_as_cancelled(aiops: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {name: value for name, value in os.environ.items() if name not in ("AIOPS_HOME", "DAGSTER_HOME")}
    with subprocess.Popen(
        [aiops, "run"],
        env=environment | SMALL | {"AIOPS_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        before = []
        for line in process.stdout:
            before.append(line)
            # Which of the first steps a line of progress shows depends on how quick they are.
            if re.match(r" *\d+:\d\d  .*(synthetic_series|pod_features|anomaly_detector)", line):
                break
        # As a terminal does: to the command and to what it has started.
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stdout.read().splitlines()
        deadline = time.monotonic() + SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
    assert process.returncode == CANCELLED, (before, rest)
    (last,) = (line for line in rest if not re.match(r" *\d+:\d\d  ", line))  # what it was at, before
    assert last.startswith("cancelled")
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        (run,) = instance.get_runs()
    assert run.status == dg.DagsterRunStatus.CANCELED
    assert not (home / "models" / "anomaly-detector" / "champion.json").exists()
