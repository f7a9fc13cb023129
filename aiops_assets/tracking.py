"""MLflow: one run a fit with the data it read, and one registered version, byte for byte what is served.

MLflow is imported on first use: it is heavy, and a code location loads this module.
"""

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from aiops_assets.errors import NotFoundError, StoreError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

VERSION_TAG = "aiops.version"
HOST_TAG, PID_TAG, STARTED_TAG = "aiops.host", "aiops.pid", "aiops.started"


@dataclass(frozen=True)
class DatasetInput:
    """What a fit read: ``data_version`` becomes the MLflow dataset digest (at most 36 characters)."""

    name: str
    data_version: str
    source: str
    profile: dict[str, object]


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in MLflow's registry: ``registry_version`` is MLflow's own number, ``version`` the served one."""

    name: str
    registry_version: str
    version: int
    run_id: str
    tags: dict[str, str]


class TrackedRun:
    """A run that is being recorded."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record figures."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, 0) for k, v in metrics.items()])

    def log_artifact(self, name: str, data: bytes) -> None:
        """Record a small file, a picture say."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            self._client.log_artifact(self.run_id, str(path))


class Tracker:
    """Runs and registered versions of one experiment.

    Args:
        uri: ``sqlite:///...`` or ``http(s)://...``.
        experiment: name; made when it is missing.
        artifact_root: where a new experiment in a local store keeps its artifacts; a server decides itself.

    Raises:
        StoreError: from any method, when MLflow cannot be reached or does not accept something.
    """

    def __init__(self, uri: str, experiment: str, artifact_root: str | None = None) -> None:
        self.uri = uri
        self.experiment = experiment
        self.artifact_root = artifact_root if not uri.startswith("http") else None
        self._connected: tuple[MlflowClient, str] | None = None

    @contextmanager
    def run(
        self, model: str, *, dataset: DatasetInput, params: Mapping[str, object], tags: Mapping[str, str]
    ) -> Iterator[TrackedRun]:
        """A run around a fit: FINISHED when the block ends, FAILED when it raises."""
        from mlflow.entities import Dataset, InputTag, Param, RunTag
        from mlflow.entities import DatasetInput as MlflowDatasetInput

        client, experiment_id = self._connect()
        with self._errors():
            owner = {HOST_TAG: socket.gethostname(), PID_TAG: str(os.getpid()), STARTED_TAG: _started(os.getpid())}
            run_id = client.create_run(experiment_id, run_name=model, tags={**tags, **owner}).info.run_id
            entity = Dataset(
                name=dataset.name,
                digest=dataset.data_version,
                source_type="local",
                source=json.dumps({"uri": dataset.source}),
                profile=json.dumps(dataset.profile),
            )
            client.log_inputs(run_id, [MlflowDatasetInput(entity, [InputTag("mlflow.data.context", "training")])])
            client.log_batch(
                run_id,
                params=[Param(name, str(value)) for name, value in params.items()],
                tags=[RunTag("model", model)],
            )
        try:
            with self._errors():
                yield TrackedRun(client, run_id)
        except BaseException:
            with self._errors():
                client.set_terminated(run_id, "FAILED")
            raise
        with self._errors():
            client.set_terminated(run_id, "FINISHED")

    def register(
        self, name: str, version: int, files: Mapping[str, bytes], *, run_id: str, tags: Mapping[str, str]
    ) -> RegisteredVersion:
        """Register the files of a served directory as they are.

        Called again it finds what is there, so it mends a run that was killed after its commit.
        """
        if found := self.find(name, version):
            return found
        from mlflow.exceptions import MlflowException

        client, experiment_id = self._connect()
        with self._errors():
            try:
                client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            model = client.create_logged_model(experiment_id, name=f"{name}-{version}", source_run_id=run_id)
            with tempfile.TemporaryDirectory() as folder:
                for path, data in files.items():
                    Path(folder, path).write_bytes(data)
                client.log_model_artifacts(model.model_id, folder)
            model = client.finalize_logged_model(model.model_id, "READY")
            made = client.create_model_version(
                name,
                source=model.artifact_location,
                run_id=run_id,
                tags={**tags, VERSION_TAG: str(version)},
                model_id=model.model_id,
            )
        return _registered(made)

    def find(self, name: str, version: int) -> RegisteredVersion | None:
        """The registered version of a served one."""
        return next((v for v in self.versions(name) if v.version == version), None)

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All registered versions of a model, by served version."""
        return self._search(f"name = '{name}'")

    def versions_of_data(self, data_version: str) -> list[RegisteredVersion]:
        """Which models came of this data."""
        return self._search(f"tags.data_version = '{data_version}'")

    def set_alias(self, name: str, alias: str, version: int) -> bool:
        """Let an alias point at a served version; whether that changed anything.

        Raises:
            NotFoundError: that version is not registered.
        """
        registered = self.find(name, version)
        if registered is None:
            raise NotFoundError(f"MLflow knows no version {version} of {name}: materialize model/{name} again")
        if self.alias(name, alias) == version:
            return False
        with self._errors():
            self._connect()[0].set_registered_model_alias(name, alias, registered.registry_version)
        return True

    def alias(self, name: str, alias: str) -> int | None:
        """The served version that an alias points at."""
        from mlflow.exceptions import MlflowException

        client, _ = self._connect()
        with self._errors():
            try:
                return _registered(client.get_model_version_by_alias(name, alias)).version
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def dataset_digests(self, run_id: str) -> list[str]:
        """Digests of the data a run read; empty for an unknown run."""
        found = self._run(run_id)
        return [] if found is None else [entry.dataset.digest for entry in found.inputs.dataset_inputs]

    def run_tags(self, run_id: str) -> dict[str, str] | None:
        """Tags of a run, ``None`` when there is no such run."""
        found = self._run(run_id)
        return None if found is None else dict(found.data.tags)

    def close_orphans(self) -> list[str]:
        """Mark runs as KILLED whose process on this host is gone: a killed run must not seem to train for ever."""
        client, experiment_id = self._connect()
        with self._errors():
            running = client.search_runs(
                [experiment_id],
                f"attributes.status = 'RUNNING' and tags.`{HOST_TAG}` = '{socket.gethostname()}'",
            )
            orphans = [run for run in running if not _alive(run.data.tags)]
            for run in orphans:
                client.set_terminated(run.info.run_id, "KILLED")
        return [run.info.run_id for run in orphans]

    def run_url(self, run_id: str) -> str:
        """Where a person finds a run; never with a password."""
        if self.uri.startswith("http"):
            return f"{_without_password(self.uri).rstrip('/')}/#/experiments/{self._connect()[1]}/runs/{run_id}"
        return f"{_without_password(self.uri)}#runs/{run_id}"

    def _run(self, run_id: str) -> Any:
        from mlflow.exceptions import MlflowException

        client, _ = self._connect()
        with self._errors():
            try:
                return client.get_run(run_id)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def _search(self, condition: str) -> list[RegisteredVersion]:
        client, _ = self._connect()
        with self._errors():
            found = [_registered(entry) for entry in client.search_model_versions(condition)]
        return sorted(found, key=lambda entry: (entry.name, entry.version))

    def _connect(self) -> "tuple[MlflowClient, str]":
        if self._connected is None:
            with self._errors():
                self._connected = self._open()
        return self._connected

    def _open(self) -> "tuple[MlflowClient, str]":
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        if self.uri.startswith("sqlite:///"):
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return client, found.experiment_id
        location = Path(self.artifact_root).absolute().as_uri() if self.artifact_root else None
        try:
            return client, client.create_experiment(self.experiment, artifact_location=location)
        except MlflowException:
            # Another process made it meanwhile.
            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                raise
            return client, found.experiment_id

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError) as error:
            where = _without_password(self.uri)
            text = str(error).splitlines()[0].replace(self.uri, where)
            raise StoreError(f"MLflow at {where}: {text}; check MLFLOW_TRACKING_URI") from error


def _registered(entry: Any) -> RegisteredVersion:
    tags = dict(entry.tags)
    return RegisteredVersion(entry.name, str(entry.version), int(tags.get(VERSION_TAG, 0)), entry.run_id or "", tags)


def _alive(tags: Mapping[str, str]) -> bool:
    pid = int(tags.get(PID_TAG, "0"))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # A number is given again to another process, which then started at another time.
    return _started(pid) == tags.get(STARTED_TAG)


def _started(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    if not parts.password:
        return uri
    host = parts.hostname or ""
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}{f':{parts.port}' if parts.port else ''}"))
