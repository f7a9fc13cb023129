"""`aiops ui` in a real browser: the graph is shown, a click trains and serves a model, and plots are pictures."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from aiops_assets_tests.conftest import AFTER_DATA, FEW
from aiops_assets_tests.ports import free_port

pytestmark = [pytest.mark.long, pytest.mark.needs("chromium")]

CHAIN = ("synthetic_series", *AFTER_DATA)
ASSETS = ("raw_metrics", *CHAIN)
AT_ONCE = [name for name in CHAIN if not name.endswith("_card")]
"""Assets whose page shows a small picture without a click; a card's figures are those of its evaluation."""
SMALL = {"TRAINING_PODS": "10", "N_SAMPLES": "500", "SYNTHETIC_END": "2026-11-01"}
START_SECONDS, RUN_SECONDS, STOP_SECONDS = 180, 400, 30
BROWSER_ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
)
SELECTED = quote('key:"synthetic_series"+', safe="")
GROUPS = ("data", *(name.replace("-", "_") for name in FEW), "scores")
EXPANDED = "expanded=" + quote(",".join(f"global@global:{group}" for group in GROUPS), safe="")
"""All groups of the graph unfolded, so that it shows assets."""

LOADED = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
RUNS = "{ runsOrError { ... on Runs { results { runId status assetSelection { path } } } } }"


@dataclass(frozen=True)
class Ui:
    """A running `aiops ui`."""

    url: str
    home: Path

    def query(self, text: str) -> dict[str, Any]:
        body, headers = json.dumps({"query": text}).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/graphql", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
        return data

    def loaded(self) -> bool:
        try:
            entries = self.query(LOADED)["workspaceOrError"]["locationEntries"]
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        kinds = [(entry["locationOrLoadError"] or {}).get("__typename") for entry in entries]
        assert "PythonError" not in kinds, "the code location does not load"
        return kinds == ["RepositoryLocation"]

    def runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.query(RUNS)["runsOrError"]["results"]
        return runs

    def finished_runs(self) -> list[dict[str, Any]]:
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            runs = self.runs()
            if runs and all(run["status"] in ("SUCCESS", "FAILURE", "CANCELED") for run in runs):
                return runs
            time.sleep(0.5)
        raise AssertionError(f"no run has finished within {RUN_SECONDS} s of the click: {self.runs()}")


@contextlib.contextmanager
def running_ui(aiops: str, folder: Path) -> Iterator[Ui]:
    """`aiops ui` on the home of a folder, while its code location is loaded."""
    port = free_port()
    served = Ui(f"http://127.0.0.1:{port}", folder / "home")
    log = folder / "ui.log"
    command = [aiops, "ui", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(served.home), stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until_loaded(served, process, log)
        yield served
    finally:
        stop(process)


@pytest.fixture(scope="module")
def ui(aiops: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    with running_ui(aiops, tmp_path_factory.mktemp("ui")) as served:
        yield served


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=BROWSER_ARGUMENTS)
        try:
            # Wide, so that the graph has room for details.
            yield browser.new_page(viewport={"width": 2200, "height": 1100})
        finally:
            browser.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("AIOPS_TEST_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def runs(ui: Ui, page: Page) -> list[dict[str, Any]]:
    """What one click on "Materialize all" started: everything after synthetic_series."""
    page.goto(f"{ui.url}/asset-groups~{SELECTED}?{EXPANDED}")
    expect_nodes(page, CHAIN)
    page.get_by_role("button", name="Materialize all").click()
    # Dagster warns that raw_metrics was never fetched; synthetic data does not need it.
    page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    return ui.finished_runs()


def test_the_graph_shows_every_asset(ui: Ui, page: Page, screenshots: Path) -> None:
    page.goto(f"{ui.url}/asset-groups?{EXPANDED}")
    expect_nodes(page, ASSETS)
    page.screenshot(path=screenshots / "graph.png")


def test_the_catalogue_names_every_asset_in_full(ui: Ui, page: Page, screenshots: Path) -> None:
    page.goto(f"{ui.url}/assets?view=list")
    for asset in ASSETS:
        link = page.locator(f'a[href="/assets/{asset}"]')
        expect(link).to_be_visible(timeout=30_000)
        expect(link).to_contain_text(asset)
    page.screenshot(path=screenshots / "catalogue.png")


def test_the_automation_page_shows_schedules_and_sensors(ui: Ui, page: Page, screenshots: Path) -> None:
    page.goto(f"{ui.url}/automation")
    for name in ("daily_ingest", "regular_scores", "weekly_retrain", "retrain_when_days_pile_up"):
        expect(page.get_by_role("link", name=name)).to_be_visible(timeout=30_000)
    expect(page.get_by_text("02:00 AM UTC, only on Sunday")).to_be_visible()
    page.screenshot(path=screenshots / "automation.png")


def test_a_click_trains_and_serves_a_model(ui: Ui, page: Page, runs: list[dict[str, Any]], screenshots: Path) -> None:
    assert [run["status"] for run in runs] == ["SUCCESS"]
    assert {"/".join(key["path"]) for key in runs[0]["assetSelection"]} == set(CHAIN)
    manifest = json.loads((ui.home / "models" / "anomaly-detector" / "1" / "manifest.json").read_bytes())
    assert manifest["dagster_run_id"] == runs[0]["runId"]

    page.goto(f"{ui.url}/asset-groups?{EXPANDED}")
    expect_nodes(page, ASSETS)
    # Nodes learn their state after they are drawn.
    expect(page.get_by_text("Materialized", exact=True)).to_have_count(len(CHAIN), timeout=30_000)
    page.screenshot(path=screenshots / "graph-after-run.png")


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("asset", CHAIN)
def test_the_page_of_an_asset_shows_its_plot(ui: Ui, page: Page, asset: str, screenshots: Path) -> None:
    page.goto(f"{ui.url}/assets/{asset}")
    if asset in AT_ONCE:
        seen = page.get_by_role("row", name="preview").locator('img[src^="data:image/svg+xml"]')
        expect(seen).to_be_visible(timeout=30_000)
        assert seen.evaluate("image => image.naturalWidth") > 0
    # A card is shown as text beside its plot.
    page.get_by_role("row", name="plot").get_by_text("[Show Markdown]").click()
    plot = page.get_by_role("dialog").locator('img[src^="data:image/png"]')
    expect(plot).to_be_visible()
    expect(plot).to_have_js_property("complete", True)
    assert plot.evaluate("image => image.naturalWidth") > 0
    page.screenshot(path=screenshots / f"plot-{asset}.png", animations="disabled")


def test_the_first_page_shows_the_run_of_a_command(aiops: str, page: Page, tmp_path: Path, screenshots: Path) -> None:
    known = environment(tmp_path / "home") | {"DAGSTER_HOME": str(tmp_path / "home" / "dagster")}
    subprocess.run([aiops, "home"], env=known, check=True, stdout=subprocess.DEVNULL)
    arguments = ["asset", "materialize", "-m", "aiops_assets.definitions", "--select", "synthetic_series"]
    program = str(Path(aiops).parent / "dagster")
    subprocess.run([program, *arguments], env=known, cwd=tmp_path, check=True, capture_output=True)
    with running_ui(aiops, tmp_path) as served:
        run_id = served.runs()[0]["runId"]
        assert f"{served.url}/runs/{run_id}" in (tmp_path / "ui.log").read_text().splitlines()[0]
        page.goto(served.url)
        # A row of runs that have a code location and no job; without one, the page only says that there are no runs.
        expect(page.get_by_text("Jobless asset materializations").first).to_be_visible(timeout=30_000)
        page.screenshot(path=screenshots / "first-page.png")


def expect_nodes(page: Page, assets: tuple[str, ...]) -> None:
    """Exactly these nodes are there, each with its own name."""
    names = sorted(assets)
    nodes = page.locator("[class*=AssetNode_assetName]")
    expect(nodes).to_have_count(len(names), timeout=30_000)
    for node in nodes.all():
        expect(node).to_be_visible()
    assert sorted(text.strip() for text in nodes.all_inner_texts()) == names


def environment(home: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("HOME", "LANG", "PATH", "TMPDIR", "XDG_CONFIG_HOME")
    }
    return {**kept, **SMALL, "MODELS": ",".join(FEW), "AIOPS_HOME": str(home)}


def wait_until_loaded(ui: Ui, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"aiops ui ended: {log.read_text()}"
        if ui.loaded():
            return
        time.sleep(0.25)
    raise AssertionError(f"aiops ui does not answer within {START_SECONDS} s: {log.read_text()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End `dagster dev` as a terminal would, then whatever is left of its process group."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)
