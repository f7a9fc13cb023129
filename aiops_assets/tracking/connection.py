"""The connection to MLflow: SQLite or a server, opened on first use; each error is one line without a password."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from filelock import FileLock

from aiops_assets.errors import StoreError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # MLflow prints the URI with its password.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow's default of 7 retries of 120 s each takes several minutes until a stopped server is reported.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Environment variables that MLflow reads when it is imported or used; those that are set already stay."""

CREATION_S = 120.0
"""How long to wait for another process that creates the same SQLite store, which takes 2 to 10 s."""


class Connection:
    """A client and an experiment, both made on first use.

    Args:
        uri: ``sqlite:///...`` or ``http(s)://...``.
        experiment: name of the experiment; it is created if missing.
        artifact_root: path or URL where a new experiment of a SQLite store keeps its artifacts; by default
            ``artifacts`` beside the database. A server uses its own root.
    """

    def __init__(self, uri: str, experiment: str, artifact_root: str | None = None) -> None:
        self._uri = uri.rstrip("/")
        self._experiment = experiment
        self._artifact_root = artifact_root
        self._opened: tuple[MlflowClient, str] | None = None
        self.shown_uri = without_password(self._uri)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is a local file, not a server."""
        return self._uri.startswith("sqlite:")

    @property
    def is_missing(self) -> bool:
        """Whether the store is a local file that does not exist; opening the connection would create it."""
        return self.is_sqlite and not Path(self._uri.removeprefix("sqlite:///").partition("?")[0]).exists()

    def open(self) -> "tuple[MlflowClient, str]":
        """The client and the id of the experiment.

        Raises:
            StoreError: MLflow cannot be imported or reached, or the URI has another scheme.
        """
        if self._opened is None:
            scheme, _, path = self._uri.partition("://")
            if scheme in ("http", "https"):
                with self.errors():
                    self._opened = self._open(None)
            elif scheme == "sqlite" and path.startswith("/") and path[1:] not in ("", ":memory:"):
                self._opened = self._open_sqlite(Path(path[1:].partition("?")[0]))
            else:
                raise StoreError(
                    f"MLFLOW_TRACKING_URI={self.shown_uri.rpartition('@')[2]} is not supported: "
                    "use sqlite:///<file> or the http(s):// address of an MLflow server"
                )
        return self._opened

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn exceptions of MLflow in the block into StoreError: one line with the setting and the cure."""
        try:
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError
        except ImportError as error:
            raise StoreError(f"MLflow cannot be imported ({error}): pip install 'aiops-assets[train]'") from error
        try:
            yield
        except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
            line = next(iter(str(error).splitlines()), type(error).__name__)
            cure = (
                "check that MLFLOW_TRACKING_URI names a file that can be written"
                if self.is_sqlite
                else "check that MLFLOW_TRACKING_URI is right, that its server runs and that it accepts you"
            )
            cause = self._redacted(line)[:400]
            message = f"MLflow at {self.shown_uri}: {cause}; {cure}"
            # A traceback prints the text of the cause too, password included.
            raise StoreError(message, code="mlflow_failed", cause=cause) from (
                None if urlsplit(self._uri).password else error
            )

    def _open_sqlite(self, file: Path) -> "tuple[MlflowClient, str]":
        root = self._artifact_root or str(file.parent / "artifacts")
        with self.errors():
            file.parent.mkdir(parents=True, exist_ok=True)
            # MLflow creates its tables without a lock: a second process would find half of them.
            with FileLock(f"{file}.lock", timeout=CREATION_S):
                if not file.exists() or not file.stat().st_size:
                    self._create(file)
                # MLflow itself retries for 100 s on a file that it cannot open.
                with closing(sqlite3.connect(file)) as probe:
                    probe.execute("PRAGMA schema_version")
                return self._open(root if "://" in root else Path(root).absolute().as_uri())

    def _create(self, file: Path) -> None:
        """Create a store in a temporary place and move it: MLflow cannot use one whose creation was killed halfway."""
        from mlflow.tracking import MlflowClient

        building = file.with_name(f"{file.name}.building")
        for left in file.parent.glob(f"{building.name}*"):
            left.unlink()
        with closing(sqlite3.connect(building)) as probe:
            probe.execute("PRAGMA schema_version")
        MlflowClient(tracking_uri=f"sqlite:///{building}").search_experiments()
        building.replace(file)

    def _open(self, artifacts: str | None) -> "tuple[MlflowClient, str]":
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        found = client.get_experiment_by_name(self._experiment)
        if found is None:
            with accepting("RESOURCE_ALREADY_EXISTS"):
                return client, client.create_experiment(self._experiment, artifact_location=artifacts)
            found = client.get_experiment_by_name(self._experiment)
        if found is None or found.lifecycle_stage != "active":
            raise StoreError(
                f"MLflow experiment {self._experiment!r} is deleted: `mlflow experiments restore` brings it back"
            )
        return client, found.experiment_id

    def _redacted(self, text: str) -> str:
        userinfo = urlsplit(self._uri).netloc.rpartition("@")[0]
        secret = userinfo.partition(":")[2]
        for hidden in (f"{userinfo}@", secret, unquote(secret)) if secret else ():
            text = text.replace(hidden, "")
        return text


@contextmanager
def accepting(*codes: str) -> Iterator[None]:
    """End the block quietly where MLflow answers with one of these error codes."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in codes:
            raise


def without_password(uri: str) -> str:
    """The URI without user and password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri
