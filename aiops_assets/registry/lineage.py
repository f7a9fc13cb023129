"""Traces a served directory back to version, MLflow run, training set and source, and hashes each step again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date

from aiops_assets.datasets.generation import frame_of
from aiops_assets.datasets.known import known_metrics
from aiops_assets.errors import AiopsError, NotFoundError, StoreError
from aiops_assets.storage.day_info import StoredQuery
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.records import (
    ChampionMove,
    Day,
    FileState,
    Manifest,
    Record,
    TrainingSetRecord,
)
from aiops_assets.storage.served import MANIFEST, SIGNATURE, ServedModels
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.timeseries.schema import combined_digest, day_digests
from aiops_assets.tracking.tracker import MANIFEST_TAG, Tracker
from aiops_assets.views.catalog import VIEWS


class DayState(Record):
    """The present state of a day of source data.

    Attributes:
        day: UTC day, ISO.
        source: "prometheus" or "synthetic".
        digest: digest of the day when it was read.
        state: "verified": unchanged since it was read. "completed": read before the day was over, and only grew.
            "revised": values changed since (a later fetch, or other code for generated days). "missing": not stored.
    """

    day: str
    source: str
    digest: str
    state: str


class Lineage(Record):
    """The origin of a served model. ``problems`` follow the order of the chain; empty: every digest is right.

    ``cluster`` is the value of CLUSTER, ``cluster_ids`` the clusters that its days turned out to be of.
    ``known`` is metric -> share (0 to 1) of the fetched rows that know it, counted in the stored rows; empty where none
    was fetched. ``warnings`` are those that the manifest keeps about its data.
    """

    name: str
    version: int
    path: str
    data_version: str
    run_id: str
    run_url: str
    dagster_run_id: str
    code_version: str
    cluster: str
    cluster_ids: tuple[str, ...]
    effective_source: str
    training_set: str
    known: dict[str, float]
    warnings: tuple[str, ...]
    queries: tuple[str, ...]
    days: tuple[DayState, ...]
    files: tuple[FileState, ...]
    verified: bool
    problems: tuple[str, ...]


@dataclass
class LineageReader:
    """Traces the lineage of one model."""

    served: ServedModels
    training_sets: TrainingSets
    lake: Lake
    tracker: Tracker
    problems: list[str] = field(default_factory=list)

    def trace(self, name: str) -> Lineage:
        """The lineage of a model's champion.

        Raises:
            NotFoundError: no version of the model is served.
            IntegrityError: the champion record cannot be read.
        """
        record = self.served.unsigned_champion(name)
        if record is None:
            raise NotFoundError(
                f"{name} is not served from {self.served.locate(name)}: run `aiops run` first", code="nothing_served"
            )
        champion = record.champion
        with self._noting():
            self.served.champion(name)
        manifest, files = self._manifest(champion, name)
        if manifest and champion.data_version != manifest.data_version:
            self.problems.append("champion record and manifest name different data versions")
        if manifest and champion.effective_source != manifest.effective_source:
            self.problems.append("champion record and manifest name different effective sources")
        if manifest:
            self._check_run(manifest, champion.manifest_sha256)
        source, known = self._training_set(manifest) if manifest else (None, {})
        days = self._days(source) if source else ()
        return Lineage(
            name=name,
            version=champion.version,
            path=self.served.locate(name, champion.version),
            data_version=champion.data_version,
            run_id=manifest.run_id if manifest else "",
            run_url=manifest.run_url if manifest else "",
            dagster_run_id=manifest.dagster_run_id if manifest else "",
            code_version=manifest.code_version if manifest else "",
            cluster=manifest.cluster if manifest else "",
            cluster_ids=source.cluster_ids if source else (),
            effective_source=champion.effective_source,
            training_set=self.training_sets.locate(manifest.view, manifest.data_version) if manifest else "",
            known=known,
            warnings=manifest.source.warnings if manifest else (),
            queries=tuple(source.queries.values()) if source else (),
            days=days,
            files=files,
            verified=not self.problems,
            problems=tuple(self.problems),
        )

    def _manifest(self, champion: ChampionMove, name: str) -> tuple[Manifest | None, tuple[FileState, ...]]:
        """The manifest, ``None`` if it cannot be read, and the state of each file of the directory."""
        manifest, known = None, False
        with self._noting():
            self.served.manifest(name, champion.version, champion.manifest_sha256)
            known = True
        files = [FileState(path=MANIFEST, sha256=champion.manifest_sha256, verified=known)]
        with suppress(StoreError):  # named above
            manifest = self.served.manifest(name, champion.version)
        for check in self.served.check_files(manifest) if manifest else []:
            files.append(FileState(path=check.path, sha256=check.sha256, verified=check.verified))
            if not check.verified:
                self.problems.append(f"{self.served.locate(name, champion.version)}/{check.path} differs")
        folder = f"{name}/{champion.version}"
        for extra in sorted(set(self.served.storage.names(folder)) - {file.path for file in files} - {SIGNATURE}):
            if manifest:
                self.problems.append(f"{self.served.storage.locate(f'{folder}/{extra}')} is in no manifest")
        return manifest, tuple(files)

    def _check_run(self, manifest: Manifest, manifest_sha256: str) -> None:
        with self._noting():
            registered = self.tracker.find(manifest.name, manifest.version)
            if registered is None:
                raise NotFoundError(f"MLflow has no version {manifest.version} of {manifest.name}")
            if registered.tags.get(MANIFEST_TAG) != manifest_sha256:
                self.problems.append(f"MLflow recorded another manifest for version {manifest.version}")
            if registered.run_id != manifest.run_id:
                self.problems.append(f"MLflow names run {registered.run_id}, the manifest {manifest.run_id}")
            if manifest.data_version not in self.tracker.dataset_digests(manifest.run_id):
                self.problems.append(f"MLflow run {manifest.run_id} has another dataset than the manifest")
            tags = self.tracker.run_tags(manifest.run_id) or {}
            if tags.get("dagster_run_id") != manifest.dagster_run_id:
                self.problems.append(f"MLflow run {manifest.run_id} names another Dagster run than the manifest")

    def _training_set(self, manifest: Manifest) -> tuple[TrainingSetRecord | None, dict[str, float]]:
        """Its record, and how much of its metrics its rows know; what cannot be read is missing and named."""
        view, data_version = manifest.view, manifest.data_version
        record, known = None, {}
        with self._noting():
            record = self.training_sets.record(view, data_version, manifest.training_set_sha256)
        with self._noting():
            rows = self.training_sets.rows(view, data_version)
            known = {name: one.share for name, one in known_metrics(VIEWS[view], rows).items()}
        return record, known

    def _days(self, source: TrainingSetRecord) -> tuple[DayState, ...]:
        generated = day_digests(frame_of(source.recipe)) if source.recipe else {}
        states = []
        for day in source.days:
            if day.origin == "synthetic":
                found = generated.get(day.day)
                state = "missing" if found is None else "verified" if found == day.digest else "revised"
            else:
                state = self._state_in_lake(day, {**source.queries, **day.queries})
            if state == "missing":
                self.problems.append(f"{day.day}: its {day.origin} data is missing")
            states.append(DayState(day=day.day, source=day.origin, digest=day.digest, state=state))
        return tuple(states)

    def _state_in_lake(self, day: Day, queries: Mapping[str, str]) -> str:
        """The state of a fetched day; a damaged file counts as missing and is named."""
        now, revised = {}, 0
        for name in day.metrics:
            # The catalogue's query may have changed since; the days of this query are still stored under it.
            query = StoredQuery(name, queries[name])
            try:
                info = self.lake.read_day(query, date.fromisoformat(day.day))[1]
            except NotFoundError:
                return "missing"
            except StoreError as error:
                self.problems.append(str(error))
                return "missing"
            now[name] = info.digest
            revised += info.revised
        if combined_digest(now) == day.digest:
            return "verified"
        return "completed" if not day.closed and revised == day.revised else "revised"

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Add an error of the block to ``problems`` and go on: the rest of the chain is examined too."""
        try:
            yield
        except AiopsError as error:
            self.problems.append(str(error))
