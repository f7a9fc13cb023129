"""README against the code: settings and commands are documented, and the documented commands do what they say."""

import os
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from aiops_assets.commands.cli import main
from aiops_assets.settings import PROJECT_ROOT, Settings
from aiops_assets.synthetic.pods import generate
from aiops_assets_tests.prometheus_server import backfilled_prometheus

README = (PROJECT_ROOT / "README.md").read_text()
COMMANDS = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
ADDRESS = "http://localhost:9090"
WHOLE_RUNS = 3
"""Those of generated data, of a server and of a file of metrics train all models, minutes each."""
ONE_MODEL = {"MODELS": "anomaly-detector"}


def test_every_setting_is_in_the_table_and_nothing_else() -> None:
    documented = re.findall(r"^\| `([A-Z_]+)` \|", README, flags=re.MULTILINE)
    assert documented == [name.upper() for name in Settings.model_fields]


def test_documented_defaults_are_the_real_ones() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \|", README, flags=re.MULTILINE))
    for name in (
        "n_samples",
        "random_seed",
        "anomaly_rate",
        "training_pods",
        "forecast_horizon",
        "cluster",
        "first_day",
    ):
        assert rows[name.upper()] == str(Settings.model_fields[name].default)


def test_every_command_is_mentioned() -> None:
    for name in main.commands:
        assert f"aiops {name}" in README or f"make {name}" in README
    for target in re.findall(r"^([a-z-]+):.*##", (PROJECT_ROOT / "Makefile").read_text(), flags=re.MULTILINE):
        if target not in ("help", "setup", "clean"):
            assert f"make {target}" in README, target


def test_linked_files_exist() -> None:
    headings = {f"#{text.lower().replace(' ', '-')}" for text in re.findall(r"^#+ (.*)$", README, flags=re.MULTILINE)}
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert link.startswith("https://") or link in headings or (PROJECT_ROOT / link).exists(), link


@pytest.mark.long
@pytest.mark.needs("git", "prometheus", "curl")
def test_the_commands_of_the_readme_run_in_an_empty_folder(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT_ROOT), str(clone)], check=True)
    tomorrow = pd.Timestamp.now("UTC").normalize() + pd.Timedelta(days=1)
    ours = {name.upper() for name in Settings.model_fields} | {"DAGSTER_HOME", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    with backfilled_prometheus(generate(5, 9, tomorrow, seed=3), tmp_path / "tsdb") as url:
        outputs: list[str] = []
        runs = 0
        for command in COMMANDS:
            trains = "make run" in command or "materialize" in command
            runs += trains
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command.replace(ADDRESS, url)],
                cwd=clone,
                env=environment | (ONE_MODEL if trains and runs > WHOLE_RUNS else {}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=900,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            outputs.append(done.stdout + done.stderr)
    everything = "\n".join(outputs)
    assert "anomaly-detector: version 1 trained; version 1 is served (first version, not worse" in everything
    assert "every digest verified" in everything
    assert "this run: prometheus+synthetic" in everything
    assert "16 metrics, 15 days" in everything
    (answer,) = (output for command, output in zip(COMMANDS, outputs, strict=True) if "ask.py" in command)
    assert answer.splitlines()[-1] == "[1]"
    (asked,) = (output for command, output in zip(COMMANDS, outputs, strict=True) if "aiops serve" in command)
    for said in ('"status":"', '"anomaly_detected":true', '"issue":"pod_oom"', "infrastructure", '"forecast":['):
        assert said in asked
    assert "from a cache: False" in asked
    assert "predictive-analytics: 12 steps of 300 s of 2 metrics from 5 origins" in everything
    assert "not before 14 days" in outputs[-1]
    assert (clone / "ci-state" / "models" / "anomaly-detector" / "1" / "manifest.json").exists()
