"""MLflow: one run per fit with the data that it read, and one registered version, byte for byte the served one.

MLflow is imported on first use: it is heavy, and a code location loads this module.
"""

import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiops_assets.errors import IntegrityError, NotFoundError, StoreError
from aiops_assets.tracking.connection import Connection, accepting, without_password
from aiops_assets.tracking.processes import started, started_then

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

VERSION_TAG = "aiops.version"
HOST_TAG, PID_TAG, STARTED_TAG = "aiops.host", "aiops.pid", "aiops.started"
FLAVORS_TAG, NO_ONNX_TAG = "aiops.flavors", "aiops.no_onnx"
"""In which forms MLflow's tools can load a registered version, and why it has no ONNX form."""
DATA_TAG, MANIFEST_TAG, DAGSTER_RUN_TAG = "data_version", "manifest_sha256", "dagster_run_id"

UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""Codes of MLflow for a missing run, model or alias: which one depends on what is missing."""


@dataclass(frozen=True)
class DatasetInput:
    """The training set that a fit read.

    Attributes:
        name: name of the view, e.g. ``pod_features``.
        data_version: content digest, 32 hex digits; it becomes MLflow's dataset digest (at most 36 characters).
        source: path or URL of the training set.
        profile: further facts such as rows, label rate and effective source, as JSON values.
    """

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


@dataclass(frozen=True)
class TrackedRun:
    """A run that is being recorded. Its methods raise StoreError."""

    run_id: str
    _mlflow: Connection

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record figures by name."""
        client, _ = self._mlflow.open()
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with self._mlflow.errors():
            client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, 0) for k, v in metrics.items()])

    def log_artifact(self, name: str, data: bytes) -> None:
        """Record a small file under a plain file name: a picture, a JSON document."""
        client, _ = self._mlflow.open()
        with tempfile.TemporaryDirectory() as folder, self._mlflow.errors():
            path = Path(folder) / name
            path.write_bytes(data)
            client.log_artifact(self.run_id, str(path))


class Tracker:
    """Runs and registered versions of one experiment. Nothing is imported or connected before the first use.

    Args:
        uri: ``sqlite:///...`` or ``http(s)://...``.
        experiment: name of the experiment; it is created if missing.
        artifact_root: path or URL where a new experiment of a SQLite store keeps its artifacts, by default
            ``artifacts`` beside the database. A server uses its own root.

    Raises:
        StoreError: from any method, when MLflow cannot be reached or rejects a request.
    """

    def __init__(self, uri: str, experiment: str, artifact_root: str | None = None) -> None:
        self._mlflow = Connection(uri, experiment, artifact_root)

    def absence(self) -> str:
        """Why MLflow cannot be used; empty when it can. A missing database is not created."""
        if self._mlflow.is_missing:
            return f"MLflow has no database at {self._mlflow.shown_uri}: check MLFLOW_TRACKING_URI"
        try:
            self._mlflow.open()
        except StoreError as error:
            return str(error)
        return ""

    @property
    def evidence(self) -> str:
        """For people who compare versions with MLflow: where it keeps what it recorded, without a password."""
        return f"MLflow's records: {self._mlflow.shown_uri}"

    @contextmanager
    def run(
        self, model: str, *, dataset: DatasetInput, params: Mapping[str, object], tags: Mapping[str, str]
    ) -> Iterator[TrackedRun]:
        """A run around a block: FINISHED when the block ends, FAILED when it raises, KILLED when it is interrupted."""
        client, experiment_id = self._mlflow.open()
        owner = {HOST_TAG: socket.gethostname(), PID_TAG: str(os.getpid()), STARTED_TAG: str(started(os.getpid()))}
        with self._mlflow.errors():
            every_tag = {**tags, **owner, "model": model}
            run_id = client.create_run(experiment_id, run_name=model, tags=every_tag).info.run_id
        try:
            with self._mlflow.errors():
                _log_inputs(client, run_id, dataset, params)
            yield TrackedRun(run_id, self._mlflow)
        except BaseException as error:
            # The exception of the block matters more than a server that cannot be reached either.
            with suppress(StoreError), self._mlflow.errors():
                client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        with self._mlflow.errors():
            client.set_terminated(run_id, "FINISHED")

    def register(
        self,
        name: str,
        version: int,
        files: Callable[[], Mapping[str, bytes]],
        *,
        run_id: str,
        tags: Mapping[str, str],
    ) -> RegisteredVersion:
        """Register the files of a served directory as they are.

        A second call finds the registered version, so it completes a run that was killed after its commit.

        Args:
            name, version: model name and version number of the directory.
            files: reads the files, name -> content; not called if the version is registered already.
            run_id: id of the MLflow run that made them.
            tags: tags of the registered version.

        Raises:
            IntegrityError: the version is registered with another ``manifest_sha256``.
        """
        if found := self.find(name, version):
            recorded, given = found.tags.get(MANIFEST_TAG), tags.get(MANIFEST_TAG)
            if recorded and given and recorded != given:
                raise IntegrityError(
                    f"{name} version {version} is in MLflow's registry with other content (manifest {recorded[:12]}, "
                    f"here {given[:12]}): restore that version, or give this MODEL_ROOT a registry of its own",
                    code="other_content",
                    name=name,
                    version=version,
                    recorded=recorded,
                    given=given,
                )
            return found
        client, experiment_id = self._mlflow.open()
        with self._mlflow.errors(), tempfile.TemporaryDirectory() as folder:
            with accepting("RESOURCE_ALREADY_EXISTS"):
                client.create_registered_model(name)
            _write(folder, files())
            title = f"{name}-{version}"
            left_by_killed = client.search_logged_models(
                [experiment_id], f"name = {_literal(title)} AND source_run_id = {_literal(run_id)}"
            )
            model = next(iter(left_by_killed), None) or client.create_logged_model(
                experiment_id, name=title, source_run_id=run_id
            )
            client.log_model_artifacts(model.model_id, folder)
            model = client.finalize_logged_model(model.model_id, "READY")
            # Not models:/<id>: MLflow's SQL registry resolves that through its global tracking URI.
            client.create_model_version(
                name,
                source=model.artifact_location,
                run_id=run_id,
                tags={**tags, VERSION_TAG: str(version)},
                model_id=model.model_id,
                await_creation_for=0,
            )
        # Read back: two processes that register at once both get the first registration.
        made = self.find(name, version)
        if made is None:
            raise StoreError(f"MLflow accepted {name} version {version} and does not list it: ask its administrator")
        return made

    def add_files(self, registered: RegisteredVersion, files: Mapping[str, bytes], tags: Mapping[str, str]) -> None:
        """Add files to those of a registered version, then tags; files of the same names are replaced."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        client, _ = self._mlflow.open()
        name, number = registered.name, registered.registry_version
        with self._mlflow.errors(), tempfile.TemporaryDirectory() as folder:
            _write(folder, files)
            source = client.get_model_version_download_uri(name, number)
            get_artifact_repository(source, tracking_uri=client.tracking_uri).log_artifacts(folder)  # type: ignore[no-untyped-call]
            for tag, value in tags.items():
                client.set_model_version_tag(name, number, tag, value)

    def find(self, name: str, version: int) -> RegisteredVersion | None:
        """The registration of a served version; ``None`` when it is not registered."""
        found = self._search(f"name = {_literal(name)} AND tags.`{VERSION_TAG}` = '{version}'")
        return next(iter(found), None)

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All registered versions of a model, ordered by served version."""
        return self._search(f"name = {_literal(name)}")

    def versions_of_data(self, data_version: str) -> list[RegisteredVersion]:
        """The registered versions that were fitted on a data version, ordered by name and served version."""
        return self._search(f"tags.{DATA_TAG} = {_literal(data_version)}")

    def set_alias(self, name: str, alias: str, version: int) -> bool:
        """Point an alias at a served version; whether that changed anything.

        Raises:
            NotFoundError: the version is not registered.
        """
        registered = self.find(name, version)
        if registered is None:
            raise NotFoundError(
                f"MLflow has no version {version} of {name}: materialize its model asset again",
                code="unknown_to_mlflow",
                version=version,
            )
        if self.alias(name, alias) == version:
            return False
        client, _ = self._mlflow.open()
        with self._mlflow.errors():
            client.set_registered_model_alias(name, alias, registered.registry_version)
        return True

    def alias(self, name: str, alias: str) -> int | None:
        """The served version that an alias points at; ``None``: there is no such alias."""
        client, _ = self._mlflow.open()
        with self._mlflow.errors(), accepting(*UNKNOWN):
            tags = client.get_model_version_by_alias(name, alias).tags
            return int(tags[VERSION_TAG]) if VERSION_TAG in tags else None
        return None

    def dataset_digests(self, run_id: str) -> list[str]:
        """Data versions that a run read; empty for an unknown run."""
        found = self._run(run_id)
        return [] if found is None else [entry.dataset.digest for entry in found.inputs.dataset_inputs]

    def run_metrics(self, run_id: str) -> dict[str, float]:
        """Figures of a run; empty for an unknown run."""
        found = self._run(run_id)
        return {} if found is None else dict(found.data.metrics)

    def run_tags(self, run_id: str) -> dict[str, str] | None:
        """Tags of a run; ``None``: there is no such run."""
        found = self._run(run_id)
        return None if found is None else dict(found.data.tags)

    def log_files(self, run_id: str, folder: str, files: Mapping[str, bytes]) -> None:
        """Store small files with a run, also with one that ended; files of the same names are replaced.

        Args:
            run_id: id of the run.
            folder: folder of its artifacts.
            files: plain file name -> content.

        Raises:
            NotFoundError: there is no such run.
        """
        if self._run(run_id) is None:
            raise NotFoundError(f"MLflow has no run {run_id}", code="unknown_run", run_id=run_id)
        client, _ = self._mlflow.open()
        with tempfile.TemporaryDirectory() as temporary, self._mlflow.errors():
            for name, data in files.items():
                Path(temporary, name).write_bytes(data)
            client.log_artifacts(run_id, temporary, artifact_path=folder)

    def close_orphans(self, has_ended: Callable[[str], bool] | None = None) -> list[str]:
        """Mark runs whose process has ended as KILLED, so that they do not seem to train; their ids.

        Args:
            has_ended: whether a Dagster run is over, by its id. It is used for runs of other hosts, such as pods that
                are gone; without it only runs of this host are examined.
        """
        client, experiment_id = self._mlflow.open()
        with self._mlflow.errors():
            running = client.search_runs([experiment_id], "attributes.status = 'RUNNING'")
            orphans = [run.info.run_id for run in running if _is_orphan(run.data.tags, has_ended)]
            for run_id in orphans:
                client.set_terminated(run_id, "KILLED")
        return orphans

    def run_url(self, run_id: str) -> str:
        """The URL of a run for people, without a password."""
        if self._mlflow.is_sqlite:
            return f"{self._mlflow.shown_uri}#runs/{run_id}"
        return f"{self._mlflow.shown_uri}/#/experiments/{self._mlflow.open()[1]}/runs/{run_id}"

    def _run(self, run_id: str) -> Any:
        client, _ = self._mlflow.open()
        with self._mlflow.errors(), accepting(*UNKNOWN):
            return client.get_run(run_id)
        return None

    def _search(self, condition: str) -> list[RegisteredVersion]:
        client, _ = self._mlflow.open()
        with self._mlflow.errors():
            entries = client.search_model_versions(condition)
        found = [
            RegisteredVersion(entry.name, str(entry.version), int(tag), entry.run_id or "", dict(entry.tags))
            for entry in entries
            if (tag := entry.tags.get(VERSION_TAG))
        ]
        return sorted(found, key=lambda entry: (entry.name, entry.version, int(entry.registry_version)))


def _write(folder: str, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        Path(folder, path).parent.mkdir(parents=True, exist_ok=True)
        Path(folder, path).write_bytes(data)


def _log_inputs(client: "MlflowClient", run_id: str, dataset: DatasetInput, params: Mapping[str, object]) -> None:
    from mlflow.entities import Dataset, InputTag, Param
    from mlflow.entities import DatasetInput as MlflowDatasetInput

    entity = Dataset(
        name=dataset.name,
        digest=dataset.data_version,
        source_type=urlsplit(dataset.source).scheme or "local",
        source=json.dumps({"uri": without_password(dataset.source)}),
        profile=json.dumps(dataset.profile),
    )
    client.log_inputs(run_id, [MlflowDatasetInput(entity, [InputTag("mlflow.data.context", "training")])])
    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])


def _literal(text: str) -> str:
    """A string literal of MLflow's filter language, which has no escape character."""
    if "'" in text:
        raise StoreError(f"{text!r} holds a quotation mark, which MLflow cannot search for: choose a name without it")
    return f"'{text}'"


def _is_orphan(tags: Mapping[str, str], has_ended: Callable[[str], bool] | None) -> bool:
    """Whether the process that opened a run has ended; on another host only its Dagster run can tell."""
    if tags.get(HOST_TAG) == socket.gethostname():
        return not _works_on(tags)
    run_id = tags.get(DAGSTER_RUN_TAG)
    return bool(run_id and has_ended and has_ended(run_id))


def _works_on(tags: Mapping[str, str]) -> bool:
    """Whether the process that opened a run is still running."""
    try:
        return started_then(int(tags[PID_TAG]), float(tags[STARTED_TAG]))
    except (KeyError, ValueError):
        return False
