"""`aiops serve` as a process of its own, as users start it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import requests

from aiops_assets.settings import Settings
from aiops_assets_tests.ports import free_port

START_SECONDS = 90


@dataclass(frozen=True)
class Running:
    """A process that listens on loopback."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def wait_for(self, path: str, status: int = 200) -> requests.Response:
        """Ask until the status is as expected, for a bounded time."""
        end = monotonic() + START_SECONDS
        while True:
            try:
                response = requests.get(self.url + path, timeout=5)
                if response.status_code == status:
                    return response
                last = f"{response.status_code} {response.text}"
            except requests.ConnectionError as error:
                last = str(error)
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert monotonic() < end, f"{path}: {last}"
            sleep(0.05)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


def own_environment() -> dict[str, str]:
    """This process' variables without the settings of whoever runs the tests."""
    names = {name.upper() for name in Settings.model_fields}
    return {name: value for name, value in os.environ.items() if name not in names}


@contextmanager
def serving(home: Path, *arguments: str, **variables: str) -> Iterator[Running]:
    """Start it; killed when the block ends."""
    port, log = free_port(), home / "serve.log"
    home.mkdir(parents=True, exist_ok=True)
    environment = {**own_environment(), "AIOPS_HOME": str(home), "OMP_NUM_THREADS": "1", **variables}
    command = [str(Path(sys.executable).parent / "aiops"), "serve", "--port", str(port), *arguments]
    with log.open("wb") as sink, subprocess.Popen(command, env=environment, stderr=sink, stdout=sink) as process:
        try:
            yield Running(f"http://127.0.0.1:{port}", process, log)
        finally:
            process.kill()
