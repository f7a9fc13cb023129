"""The commands of the site do what their pages say: each page's, in its order, in a clone where `make run` was run."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from aiops_assets.settings import PROJECT_ROOT, Settings
from aiops_assets.synthetic.pods import generate
from aiops_assets_tests.conftest import FEW
from aiops_assets_tests.documentation import DOCS, commands, pages
from aiops_assets_tests.prometheus_server import backfilled_prometheus

pytestmark = [pytest.mark.long, pytest.mark.needs("git", "prometheus", "curl")]


def _name(page: Path) -> str:
    return page.relative_to(DOCS).with_suffix("").as_posix()


ADDRESS = "http://localhost:9090"
FIRST = DOCS / "start" / "first-run.md"
OTHERS = [page for page in pages() if commands(page) and page != FIRST]
SMALL = {"MODELS": ",".join(FEW), "N_SAMPLES": "2000", "TRAINING_PODS": "10", "TRAINING_DAYS": "7"}
"""What later runs train, and on how much. The first trains all models on what they are trained on by default."""
SAID = {
    "start/first-run": ("anomaly-detector", "every digest verified"),
    "howto/prometheus": ("data: prometheus+synthetic",),
    "howto/metrics": ("data: prometheus+synthetic",),
    "howto/kserve": ("[1]",),
    "howto/ask": ('"status":"', '"anomaly_detected":true', '"issue":"pod_oom"', '"forecast":[', "from a cache: False"),
    "howto/backtest": ("predictive-analytics: 12 steps of 300 s of 2 metrics from 5 origins",),
    "howto/outlook": ("not before 9.2 days",),
    "howto/hosts": ("host.csv: 43,200 rows",),
}
"""Page -> what its commands print among other things: data, or figures that its text quotes."""
SECONDS = 900


@dataclass(frozen=True)
class Workshop:
    """A clone with an environment, and a server of metrics."""

    folder: Path
    prometheus: str

    def read(self, page: Path, variables: Mapping[str, str]) -> str:
        """Type the commands of a page with these settings; what they printed."""
        ours = {name.upper() for name in Settings.model_fields} | {"DAGSTER_HOME", "PYTHONPATH", "VIRTUAL_ENV"}
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        outputs = []
        for command in commands(page):
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command.replace(ADDRESS, self.prometheus)],
                cwd=self.folder,
                env={**environment, **({} if "aiops serve" in command else variables)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            outputs.append(done.stdout + done.stderr)
        return "\n".join(outputs)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("workshop")
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT_ROOT), str(clone)], check=True)
    _take_over_environment(clone)
    tomorrow = pd.Timestamp.now("UTC").normalize() + pd.Timedelta(days=1)
    with backfilled_prometheus(generate(5, 9, tomorrow, seed=3), folder / "tsdb") as url:
        yield Workshop(clone, url)


@pytest.fixture(scope="module")
def first(workshop: Workshop) -> str:
    """What the commands of the first page print: everything else needs what they leave."""
    return workshop.read(FIRST, {})


def _take_over_environment(clone: Path) -> None:
    """This environment as the clone's own, so that `make` finds it made: `.ci/run` has set one up from nothing."""
    if Path(sys.prefix) == Path(sys.base_prefix):
        return
    made = clone / ".venv"
    # Several checkouts may share one by links: then it is another one's, and what it has installed lies elsewhere.
    environment = Path(sys.prefix).resolve()
    subprocess.run(["cp", "-al", str(environment), str(made)], check=True)
    scripts = [path for path in (made / "bin").iterdir() if path.is_file() and not path.is_symlink()]
    (installed,) = made.glob("lib/*/site-packages/_*aiops_assets*.pth")
    places = [*scripts, installed, made / "pyvenv.cfg"]
    checkout = installed.read_text().strip()
    moved = {str(environment).encode(): str(made).encode(), checkout.encode(): str(clone).encode()}
    for path in places:
        data, mode = path.read_bytes(), path.stat().st_mode
        if b"\0" in data[:1024]:
            continue
        for before, after in moved.items():
            data = data.replace(before, after)
        path.unlink()  # the other name of the file keeps what it holds
        path.write_bytes(data)
        path.chmod(mode)
    for name in (".installed", ".installed-service", ".installed-dev"):
        (made / name).unlink(missing_ok=True)
        (made / name).touch()


def test_the_first_page(workshop: Workshop, first: str) -> None:
    assert [said for said in SAID["start/first-run"] if said not in first] == []
    assert (workshop.folder / ".aiops" / "models" / "anomaly-detector" / "1" / "manifest.json").exists()


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("page", OTHERS, ids=_name)
def test_commands_of_a_page(workshop: Workshop, page: Path) -> None:
    printed = workshop.read(page, SMALL)
    assert [
        said for said in SAID.get(page.relative_to(DOCS).with_suffix("").as_posix(), ()) if said not in printed
    ] == []
