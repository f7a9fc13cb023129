"""The screenshots of the site: `make pictures` writes docs/screenshots/ anew, from a home that it makes.

It needs the program chromium. What is shown is what a person sees after `make run` on generated days.
"""

import html
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent / "screenshots"
BIN = Path(sys.executable).parent
ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
)
START_SECONDS = 120
TERMINAL = """<body style="margin:0"><pre style="margin:0;padding:18px 22px;background:#17202a;color:#e6edf3;
font:13px/1.45 'DejaVu Sans Mono',monospace;display:inline-block">{text}</pre></body>"""
DETECTOR = "anomaly_detector"
WIDE = 150
"""Characters of a line of the terminal's picture."""


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], url: str, folder: Path) -> Iterator[None]:
    """A server, while it answers at ``url``."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=dict(environment), cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
                    break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.wait(30)


def shoot(page: Page, url: str, name: str, *, text: str = "", seconds: float = 3.0) -> None:
    """A page once it shows ``text``, and some seconds later, when what it loads is there."""
    page.goto(url)
    if text:
        page.get_by_text(text).first.wait_for(timeout=60_000)
    page.wait_for_timeout(seconds * 1000)
    page.screenshot(path=FOLDER / f"{name}.png", animations="disabled")
    print(f"docs/screenshots/{name}.png", flush=True)


def terminal(page: Page, text: str, name: str) -> None:
    """What a command printed."""
    lines = [line if len(line) <= WIDE else f"{line[: WIDE - 3]}..." for line in text.splitlines()]
    page.set_content(TERMINAL.format(text=html.escape("\n".join(lines))))
    page.locator("pre").screenshot(path=FOLDER / f"{name}.png")
    print(f"docs/screenshots/{name}.png", flush=True)


def main() -> None:
    """Run, start the three servers, and take all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        folder, aiops = Path(made), str(BIN / "aiops")
        environment = {**os.environ, "AIOPS_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"}
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        done = subprocess.run(
            [aiops, "run"], env=environment, cwd=folder, stdout=subprocess.PIPE, text=True, check=True
        )
        terminal(page, f"$ make run\n{done.stdout}", "first-run")
        of_dagster(page, folder, environment)
        of_service(page, folder, environment)
        of_mlflow(page, folder, environment)
        browser.close()


def of_dagster(page: Page, folder: Path, environment: Mapping[str, str]) -> None:
    """The pages of Dagster's UI."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(BIN / "aiops"), "ui", "--port", str(port)]
    with running(command, environment, f"{url}/server_info", folder):
        page.wait_for_timeout(15_000)  # the code location loads
        shoot(page, url, "ui-landing", seconds=6)
        shoot(page, f"{url}/runs", "ui-runs", seconds=6)
        page.locator('a[href^="/runs/"]').first.click()
        page.wait_for_timeout(8_000)
        page.screenshot(path=FOLDER / "ui-run.png", animations="disabled")
        groups = ",".join(f"global@global:{group}" for group in ("data", DETECTOR, "scores"))
        shoot(page, f"{url}/asset-groups?expanded={groups}", "ui-graph", seconds=8)
        shoot(page, f"{url}/assets/{DETECTOR}_model", "ui-asset", text="average_precision", seconds=4)
        shoot(page, f"{url}/assets/pod_features?view=checks", "ui-checks", text="schema", seconds=4)
        shoot(page, f"{url}/automation", "ui-automation", text="weekly_retrain", seconds=3)
        shoot(page, f"{url}/assets?view=list", "ui-catalog", seconds=10)


def of_service(page: Page, folder: Path, environment: Mapping[str, str]) -> None:
    """The service's documentation of its routes."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(BIN / "aiops"), "serve", "--port", str(port)]
    with running(command, environment, f"{url}/health", folder):
        shoot(page, f"{url}/docs", "service-docs", text="anomaly", seconds=3)


def of_mlflow(page: Page, folder: Path, environment: Mapping[str, str]) -> None:
    """The registered models in MLflow."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    store = f"sqlite:///{folder / 'home' / 'mlflow' / 'mlflow.db'}"
    command = [str(BIN / "mlflow"), "ui", "--backend-store-uri", store, "--port", str(port)]
    with running(command, environment, f"{url}/health", folder):
        page.goto(f"{url}/#/models")
        page.wait_for_timeout(12_000)
        # MLflow greets newcomers with a dialog about the registry, and with its view for GenAI.
        for button in ("Try it now", "Model training"):
            page.get_by_text(button, exact=True).first.click()
            page.wait_for_timeout(2_000)
        shoot(page, f"{url}/#/models", "mlflow-models", text=DETECTOR.replace("_", "-"), seconds=4)


if __name__ == "__main__":
    main()
