"""`aiops serve` as a process of its own, as users start it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import requests

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
            assert self.process.poll() is None, self.log.read_text()
            assert monotonic() < end, f"{path}: {last}"
            sleep(0.05)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def serving(home: Path, *arguments: str, **variables: str) -> Iterator[Running]:
    """Start it; killed when the block ends."""
    port, log = free_port(), home / "serve.log"
    home.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "AIOPS_HOME": str(home), "OMP_NUM_THREADS": "1", **variables}
    command = [str(Path(sys.executable).parent / "aiops"), "serve", "--port", str(port), *arguments]
    with log.open("wb") as sink, subprocess.Popen(command, env=environment, stderr=sink, stdout=sink) as process:
        try:
            yield Running(f"http://127.0.0.1:{port}", process, log)
        finally:
            process.kill()
