"""A real PostgreSQL on a loopback port, of its own, that ends with the block."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

USER = "aiops"
START_SECONDS = 60


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

    def run(program: str, *arguments: str) -> None:
        command = [*as_other, str(found / program), *arguments]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}{log.read_text() if log.exists() else ''}")

    secured = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}", f"--username={USER}"]
    run("initdb", f"--pgdata={data}", "--no-sync", "--no-locale", "--encoding=UTF8", *secured)
    port = _free_port()
    # Nothing has to survive a crash of this machine, and there is no socket file whose path could be too long.
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off"
    server = [f"--pgdata={data}", f"--log={log}", f"--timeout={START_SECONDS}", "--wait"]
    run("pg_ctl", *server, f"--options={options}", "start")
    try:
        yield Postgres("127.0.0.1", port, USER, password, found)
    finally:
        run("pg_ctl", *server, "--mode=immediate", "stop")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
