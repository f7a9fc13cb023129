"""What tests of the commands about champions do to a home, and how they read what is printed."""

import json
import os
from pathlib import Path

from click.testing import CliRunner, Result

from aiops_assets.commands.cli import main
from aiops_assets.datasets.selection import active_models
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.registry.doctor import Doctor, Finding
from aiops_assets.registry.lake_care import lake_findings
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.registry.champion_home import ChampionHome, home_of

NAME = "anomaly-detector"


def call(home: ChampionHome | Path, *arguments: str, **variables: str) -> Result:
    folder = home if isinstance(home, Path) else home.folder
    unset = dict.fromkeys(("MODEL_ROOT", "MLFLOW_TRACKING_URI", "DATA_SOURCE", "PROMETHEUS_URL"))
    return CliRunner().invoke(main, arguments, env={**unset, "AIOPS_HOME": str(folder), **variables})


def lines(result: Result) -> dict[str, str]:
    """What the doctor looked at -> how it is and what it said."""
    found = {}
    for line in result.stdout.splitlines():
        about, _, text = line[10:].partition(": ")
        found[about] = f"{line[:10].strip()}: {text}"
    return found


def looked_at(folder: Path) -> list[Finding]:
    """What the doctor finds in a home, and leaves as it is."""
    home = home_of(folder)
    doctor = Doctor(home.served, home.training_sets, home.tracker, who="me", repair=False)
    settings = make_settings(folder)
    return [*doctor.examine(active_models(settings)), *lake_findings(stores_of(settings).lake(), settings.metrics)]


def printed(found: list[Finding]) -> list[str]:
    """The lines that the doctor prints."""
    return [f"{one.state:10s}{f'{one.model} {one.what}'.removeprefix('- ')}: {one.text}" for one in found]


def spoil_record(home: ChampionHome, kind: str) -> None:
    """Make the champion record unreadable, or let it name a version with the digest of another."""
    record = home.model_folder / "champion.json"
    content = json.loads(record.read_bytes())
    content["champion"]["version"] = 3
    record.write_text("{" if kind == "unreadable" else json.dumps(content))


def leave_behind(home: ChampionHome) -> Path:
    """What a killed writer leaves."""
    left = home.model_folder / ".staging-killed"
    left.mkdir()
    (left / "lock").touch()
    os.utime(left, (0, 0))
    return left


def spoil_everything(home: ChampionHome) -> None:
    """Change model files and the training set, and leave half a version."""
    for version in (1, 2):
        (home.model_folder / str(version) / "model.joblib").write_bytes(b"changed")
    (home.model_folder / "7").mkdir()
    (rows,) = home.folder.rglob("rows.parquet")
    rows.write_bytes(b"changed")
