"""A real PostgreSQL on a loopback port, of its own, that ends with the block."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiops_assets_tests.ports import free_port

USER = "aiops"
START_SECONDS, STOP_SECONDS = 60, 10


@dataclass(frozen=True)
class Postgres:
    """Where a server is; its user may make databases."""

    host: str
    port: int
    user: str
    password: str
    _programs: Path

    def create_database(self, name: str) -> None:
        """Make an empty one."""
        arguments = ["-h", self.host, "-p", str(self.port), "-U", self.user, name]
        variables = {**os.environ, "PGPASSWORD": self.password}
        command = [str(self._programs / "createdb"), *arguments]
        subprocess.run(command, env=variables, check=True, capture_output=True, timeout=START_SECONDS)

    def uri(self, database: str) -> str:
        """Of a database, password and all."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"


def programs() -> Path | None:
    """The folder of initdb and its siblings; Debian keeps it out of PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return max((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Yield a server; its data are gone with it.

    Raises:
        RuntimeError: it did not start; the message carries its log.
    """
    found = programs()
    assert found is not None, "there is no initdb: tests that use this are marked needs('postgres')"
    # Not below pytest's folder, through which no other user may pass.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        yield from _running(found, Path(folder))


def _running(found: Path, folder: Path) -> Iterator[Postgres]:
    data, log, password = folder / "data", folder / "server.log", secrets.token_hex(8)
    (folder / "password").write_text(password)
    # initdb and the server refuse root: they run as nobody, who has no password and no files.
    as_other = []
    if os.geteuid() == 0:
        as_other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        for path in (folder, folder / "password"):
            os.chown(path, 65534, 65534)

    secured = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}", f"--username={USER}"]
    made = [f"--pgdata={data}", "--no-sync", "--no-locale", "--encoding=UTF8", *secured]
    initdb = [*as_other, str(found / "initdb"), *made]
    done = subprocess.run(initdb, cwd=folder, capture_output=True, text=True, timeout=START_SECONDS)
    if done.returncode:
        raise RuntimeError(f"initdb: {done.stderr}")
    port = free_port()
    # Nothing has to survive a crash of this machine, and there is no socket file whose path could be too long.
    options = ("listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off")
    given = [word for option in options for word in ("-c", option)]
    # Whatever ends this process, by SIGKILL too, ends the server, which then waits for no client.
    dying = as_other or ["setpriv"]
    command = [*dying, "--pdeathsig=INT", str(found / "postgres"), "-D", str(data), *given]
    with log.open("wb") as output, subprocess.Popen(command, cwd=folder, stdout=output, stderr=output) as server:
        try:
            if not _becomes_ready(server, found / "pg_isready", port):
                raise RuntimeError(f"PostgreSQL is not ready: {log.read_text(errors='replace')[-2000:]}")
            yield Postgres("127.0.0.1", port, USER, password, found)
        finally:
            # At once: nobody reads these data again, and a client may still be connected.
            server.send_signal(signal.SIGQUIT)
            try:
                server.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()


def _becomes_ready(server: "subprocess.Popen[bytes]", pg_isready: Path, port: int) -> bool:
    ends = time.monotonic() + START_SECONDS
    command = [str(pg_isready), "--quiet", "--host=127.0.0.1", f"--port={port}"]
    while server.poll() is None and time.monotonic() < ends:
        if subprocess.run(command, timeout=START_SECONDS).returncode == 0:
            return True
        time.sleep(0.05)
    return False
