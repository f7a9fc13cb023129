"""Finds what is wrong with the served models, and repairs what needs no person: `aiops doctor`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from aiops_assets.errors import AiopsError, IntegrityError, NotFoundError
from aiops_assets.families.contract import ModelSpec
from aiops_assets.judging.statements import Statement
from aiops_assets.registry.reconciling import follow_alias, follow_link
from aiops_assets.registry.registering import complete
from aiops_assets.registry.restoring import (
    moves_of,
    names_its_manifest,
    read_problem,
    record_problem,
    recorded_digest,
    restore,
    with_cure,
)
from aiops_assets.registry.version import version_of
from aiops_assets.storage.records import ChampionMove, ChampionRecord, sha256
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.signatures import UNSIGNED
from aiops_assets.storage.training_sets import ROWS, TrainingSets
from aiops_assets.tracking.tracker import MANIFEST_TAG, Tracker

State = Literal["ok", "repaired", "to repair", "PROBLEM"]


@dataclass(frozen=True)
class Finding:
    """One line of `aiops doctor`.

    Attributes:
        model: "-" for what belongs to no model.
        what: the subject that was examined.
        state: its state.
        text: for people; that of a problem names the cure.
        code: of a disagreement or an error, or "nothing_served", "absent", "half_version", "missing_record"; "ok" where
            nothing is wrong.
        facts: values that the text names.
    """

    model: str
    what: str
    state: State
    text: str
    code: str = "ok"
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_left(self) -> bool:
        """Whether the problem remains."""
        return self.state in ("to repair", "PROBLEM")


@dataclass
class Doctor:
    """Examines one model after the other.

    Attributes:
        served, training_sets, tracker: the stores to examine.
        who: author of a champion record that is restored.
        repair: ``False``: nothing is changed, and the state of what would be repaired is "to repair".
    """

    served: ServedModels
    training_sets: TrainingSets
    tracker: Tracker
    who: str
    repair: bool = True

    def examine(self, specs: tuple[ModelSpec, ...]) -> Iterator[Finding]:
        """All findings; MLflow comes first, because most others are compared with it."""
        if not any(self._is_there(spec.name) for spec in specs):
            text = f"nothing is served from {self.served.storage.url} yet: `aiops run`"
            yield Finding("-", "models", "ok", text, "nothing_served")
            return
        away = self.tracker.absence()
        yield Finding("-", "MLflow", "PROBLEM", away, "absent") if away else Finding("-", "MLflow", "ok", "answers")
        for spec in specs:
            yield from self._model(spec, asks_mlflow=not away)

    def _is_there(self, name: str) -> bool:
        return bool(
            self.served.versions(name) or self.served.incomplete_versions(name) or read_problem(self.served, name)
        )

    def _model(self, spec: ModelSpec, *, asks_mlflow: bool) -> Iterator[Finding]:
        name = spec.name
        if not self._is_there(name):
            yield Finding(name, "champion record", "ok", "nothing is served yet: `aiops run`", "nothing_served")
            return
        finding = self._record(name, asks_mlflow)
        yield finding
        record = None if finding.is_left else self.served.champion(name)
        if record:
            yield from self._champion(spec, record, asks_mlflow)
        yield from self._versions(name, record.champion.version if record else 0, asks_mlflow)
        if asks_mlflow:
            yield self._step(name, "MLflow models", lambda: self._mlflow_models(spec), "each has a form for its tools")
        yield self._leftovers(name)

    def _record(self, name: str, asks_mlflow: bool) -> Finding:
        what = "champion record"
        if asks_mlflow:
            finding = self._step(
                name, what, lambda: restore(self.served, self.tracker, name, who=self.who, repair=self.repair)
            )
            if finding.state != "ok":
                return finding
        elif problem := record_problem(self.served, self.tracker, name):
            text = with_cure(problem, "start MLflow, then `aiops doctor` restores it from there")
            return Finding(name, what, "PROBLEM", text, problem.code, problem.facts)
        record = self.served.champion(name)
        if record is None:
            there = self.served.versions(name)
            cure = f"`aiops promote {name} VERSION`, or `aiops run` (versions: {', '.join(map(str, there)) or 'none'})"
            text = f"there is none, so nothing is served: {cure}"
            return Finding(name, what, "PROBLEM", text, "missing_record", {"there": there})
        move = record.champion
        return Finding(name, what, "ok", f"version {move.version} since {move.when:%Y-%m-%d %H:%M} UTC by {move.who}")

    def _champion(self, spec: ModelSpec, record: ChampionRecord, asks_mlflow: bool) -> Iterator[Finding]:
        name, move = spec.name, record.champion

        def servable() -> None:
            if asks_mlflow:
                recorded_digest(self.tracker, moves_of(record), name, move.version)
            version_of(self.served, spec, move).require_servable()

        fine = f"version {move.version} is the recorded one, loads and answers"
        yield self._step(
            name, "champion", servable, fine, cure=f"`aiops rollback {name}`, or `aiops run` trains another"
        )
        is_whole = names_its_manifest(self.served, record)
        repair = self.repair and is_whole
        link = self._step(name, "link", lambda: follow_link(self.served, name, move.version, repair=repair))
        if self.served.storage.local_path(name):
            yield link if is_whole else self._held(link)
        if asks_mlflow:
            alias = self._step(name, "alias", lambda: follow_alias(self.tracker, name, move.version, repair=repair))
            yield alias if is_whole else self._held(alias)
        cure = "the champion's data cannot be checked any more; `aiops run` trains a version that can be traced"
        yield self._step(name, "training set", lambda: self._training_set(name, move), cure=cure)

    def _held(self, finding: Finding) -> Finding:
        """The finding that alias and link are not changed while the champion differs from its record."""
        if finding.state not in ("repaired", "to repair"):
            return finding
        return replace(finding, state="PROBLEM", text=f"{finding.text}: it stays until that version is whole")

    def _training_set(self, name: str, move: ChampionMove) -> None:
        manifest = self.served.manifest(name, move.version, move.manifest_sha256)
        sets = TrainingSets(self.training_sets.storage, manifest.cluster)
        record = sets.record(manifest.view, manifest.data_version, manifest.training_set_sha256)
        rows = f"{sets.path(manifest.view, manifest.data_version)}/{ROWS}"
        if sha256(sets.storage.read(rows)) != record.rows_sha256:
            raise IntegrityError(
                f"{sets.storage.locate(rows)} differs from its recorded digest", code="changed_rows", path=rows
            )

    def _versions(self, name: str, champion: int, asks_mlflow: bool) -> Iterator[Finding]:
        """Findings about versions that are not served, which a rollback may need."""
        registered = (
            {entry.version: entry.tags.get(MANIFEST_TAG) for entry in self.tracker.versions(name)}
            if asks_mlflow
            else {}
        )
        versions = self.served.versions(name)
        whole = 0
        for version in versions:
            if version == champion:
                continue
            try:
                digest = registered.get(version) or self.served.manifest_sha256(name, version)
                self.served.verified(name, version, digest)
                whole += 1
            except (NotFoundError, IntegrityError) as error:
                cure = "" if error.code in UNSIGNED else f": move {self.served.locate(name, version)} away"
                text = f"version {version}: {error}{cure}"
                yield Finding(name, "versions", "PROBLEM", text, error.code, {**error.facts, "version": version})
        is_bucket = self.served.storage.local_path(name) is None
        for half in self.served.incomplete_versions(name):
            if not is_bucket or half < max(versions, default=0):
                text = f"{self.served.locate(name, half)} has no manifest and is not a version: remove it"
                yield Finding(name, "versions", "PROBLEM", text, "half_version", {"version": half})
        yield Finding(name, "versions", "ok", f"{whole} beside the champion are whole")

    def _mlflow_models(self, spec: ModelSpec) -> Statement | None:
        """Registered versions of earlier releases become MLflow models."""
        known = [one for one in self.tracker.versions(spec.name) if one.version in self.served.versions(spec.name)]
        found = [complete(self.served, self.tracker, spec, one, repair=self.repair) for one in known]
        lacking = [one.facts["version"] for one in found if one]
        if not lacking:
            return None
        text = f"MLflow has versions without a form that its own tools load: {', '.join(map(str, lacking))}"
        return Statement("no_mlflow_model", text, versions=lacking)

    def _leftovers(self, name: str) -> Finding:
        def sweep() -> Statement | None:
            left = self.served.sweep(name, remove=self.repair)
            return Statement("leftovers", f"left by killed writers: {', '.join(left)}", left=left) if left else None

        return self._step(name, "leftovers", sweep, "none")

    def _step(
        self, name: str, what: str, look: Callable[[], Statement | None], fine: str = "agrees", cure: str = ""
    ) -> Finding:
        """Run ``look``, which repairs if it can: it returns what was wrong, and raises what cannot be repaired."""
        try:
            wrong = look()
        except AiopsError as error:
            text = f"{error}: {cure}" if cure and error.code not in UNSIGNED else str(error)
            return Finding(name, what, "PROBLEM", text, error.code, error.facts)
        if wrong:
            return Finding(name, what, "repaired" if self.repair else "to repair", wrong.text, wrong.code, wrong.facts)
        return Finding(name, what, "ok", fine)
