"""The models of the service, in memory, swapped when their source names another version.

A version is ready when its digests are the recorded ones, it was read, and its smoke inference passed. If it is not,
the earlier version stays in place and the problem is recorded. Requests keep the :class:`ReadyModel` that they
began with. What is slow only once is done before a version takes over, and before the pool says that it is ready.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog

from aiops_assets.errors import (
    AiopsError,
    IntegrityError,
    ModelError,
    NotFoundError,
    ServiceNotReady,
    StoreError,
    UnknownModel,
)
from aiops_assets.families.catalog import named
from aiops_assets.families.contract import ModelSpec
from aiops_assets.judging.statements import Statement
from aiops_assets.registry.version import Version
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.ready import ReadyModel
from aiops_assets.service.versions import NOTHING, VersionSource
from aiops_assets.storage.records import ChampionMove

MAX_WAIT_SECONDS = 300.0
"""Longest wait between attempts to load a version that cannot be loaded."""
ONLY_MODEL = "model"
"""Name by which the engine requests the model of a predictor with a single one."""
WARMING = Statement("warming_up", "the first requests are being made, which take longer than later ones")

log = structlog.get_logger("aiops.service")


@dataclass
class _Failed:
    """A version that could not be loaded, and the time of the next attempt."""

    sha256: str
    wait: float
    again: float


class ModelPool:
    """Models, each in the version that their source names.

    Args:
        source: names versions and holds their files.
        specs: the models.
        instruments: counts swaps and failures.
        poll_seconds: seconds between two looks at the source.
        only: the process holds a single model, which also has the name ``model``.
        warm_model: makes the first prediction of a version, before it takes over.
    """

    def __init__(
        self,
        source: VersionSource,
        specs: Sequence[ModelSpec],
        instruments: Instruments,
        poll_seconds: float = 5.0,
        *,
        only: bool = False,
        warm_model: Callable[[ReadyModel], None] = lambda _: None,
    ) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self._source = source
        self._instruments = instruments
        self._poll_seconds = poll_seconds
        self._only = next(iter(self.specs)) if only else ""
        self._ready: dict[str, ReadyModel] = {}
        starting = Statement("not_loaded", "not loaded yet: the service has just started")
        self.problems: dict[str, Statement] = dict.fromkeys(self.specs, starting)
        self._failed: dict[str, _Failed] = {}
        self.settled = False
        """Whether loading every model was tried once."""
        self.warm = False
        """Whether the first requests were made, with the models that were ready first."""
        self._warm_model = warm_model
        self._warm_up: Callable[[], None] = lambda: None
        for name in self.specs:
            instruments.model_ready.labels(name).set(0)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def name_of(self, requested_name: str) -> str:
        """The model name for the name in a request, which may be an older one.

        Raises:
            UnknownModel: the process has no such model.
        """
        name = self._only if self._only and requested_name == ONLY_MODEL else named(requested_name)
        if name not in self.specs:
            raise UnknownModel(f"no model {requested_name!r} here: there are {', '.join(self.specs)}")
        return name

    def shown_name(self, requested_name: str) -> str:
        """The name under which an answer goes out: the requested one, also where it is an older one of the model.

        Raises:
            UnknownModel: see :meth:`name_of`.
        """
        name = self.name_of(requested_name)
        return name if requested_name == ONLY_MODEL else requested_name

    def get(self, requested_name: str) -> ReadyModel:
        """The ready version of a model.

        Raises:
            UnknownModel: the process has no such model.
            ServiceNotReady: no version of it has passed its smoke inference.
        """
        ready = self._ready.get(requested_name)  # the common case first: the present name
        if ready is not None:
            return ready
        name = self.name_of(requested_name)
        ready = self._ready.get(name)
        if ready is None:
            problem = self.problems.get(name)
            raise ServiceNotReady(f"{name} is not ready: {problem.text if problem else NOTHING}", model=name)
        return ready

    def get_warm(self, requested_name: str) -> ReadyModel:
        """The same for those who ask whether the model can answer, and not for an answer.

        Raises:
            UnknownModel, ServiceNotReady: as :meth:`get`, and while the first requests are being made.
        """
        ready = self.get(requested_name)
        if not self.warm:
            raise ServiceNotReady(f"{ready.spec.name} is not ready: {WARMING.text}", code=WARMING.code)
        return ready

    @property
    def can_answer(self) -> bool:
        """Whether every champion was tried, some model can answer, and the first requests were made."""
        return self.settled and self.warm and bool(self._ready)

    @property
    def ready(self) -> dict[str, ReadyModel]:
        """Name -> model, of those that are ready."""
        return dict(self._ready)

    def start(self, warm_up: Callable[[], None] = lambda: None) -> None:
        """Load and watch versions in a background thread until :meth:`stop`.

        Args:
            warm_up: makes the first requests; called once, when a first model is ready and all others were tried.
        """
        self._warm_up = warm_up
        self._thread = threading.Thread(target=self._run, name="model-pool", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the background thread; wait for a version that is loading at most as long as a poll."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=self._poll_seconds)

    def refresh(self) -> None:
        """Look at the version of each model once, and load new ones."""
        for name in self.specs:
            if self._stop.is_set():
                return
            try:
                self._refresh(name)
            except Exception as error:  # noqa: BLE001 - an error of one model must not stop the others
                kind = type(error).__name__
                self._note(name, Statement("unexpected", f"{kind}: {error}", kind=kind))
        if self._ready and not self.warm:
            self._warm_up()
            self.warm = True
        self.settled = True

    def _run(self) -> None:
        while not self._stop.is_set():
            self.refresh()
            self._stop.wait(self._poll_seconds)

    def _refresh(self, name: str) -> None:
        try:
            champion = self._source.wanted(name)
        except AiopsError as error:
            self._note(name, Statement(error.code, str(error), **error.facts))
            return
        now = self._ready.get(name)
        if now and (now.champion.version, now.champion.manifest_sha256) == (champion.version, champion.manifest_sha256):
            self.problems.pop(name, None)
            return
        failed = self._failed.get(name)
        if failed and failed.sha256 == champion.manifest_sha256 and monotonic() < failed.again:
            return
        try:
            loaded = self._load(self.specs[name], champion)
        except AiopsError as error:
            if not _storage_is_away(error):
                wait = failed.wait * 2 if failed and failed.sha256 == champion.manifest_sha256 else self._poll_seconds
                wait = min(wait, MAX_WAIT_SECONDS)
                self._failed[name] = _Failed(champion.manifest_sha256, wait, monotonic() + wait)
                self._instruments.load_failures.labels(name).inc()
            kept = f"; version {now.champion.version} is still served" if now else ""
            text = f"version {champion.version} is not served: {error}{kept}"
            facts = {**error.facts, "champion": champion.version, "kept": now.champion.version if now else None}
            self._note(name, Statement(error.code, text, **facts))
            return
        self._swap(name, loaded)

    def _load(self, spec: ModelSpec, champion: ChampionMove) -> ReadyModel:
        """Load and smoke-test a version. Raises AiopsError if it must not be served."""
        # Not shared: a process that serves for months keeps only the models that it uses.
        version: Version[Any, Any] = Version(self._source.served, spec, champion)
        manifest = version.manifest
        if problems := version.smoke_test():
            raise ModelError(f"smoke inference: {'; '.join(problems)}", code="no_usable_answer", problems=problems)
        ready = ReadyModel(spec, champion, manifest, spec.family.for_serving(version.model()))
        self._warm_model(ready)
        return ready

    def _swap(self, name: str, loaded: ReadyModel) -> None:
        before = self._ready.get(name)
        self._ready = {**self._ready, name: loaded}
        self.problems.pop(name, None)
        self._failed.pop(name, None)
        self._instruments.swapped(loaded, before)
        log.info("model is served", **loaded.origin, before=before.champion.version if before else None)

    def _note(self, name: str, problem: Statement) -> None:
        before = self.problems.get(name)
        if before is None or before.text != problem.text:
            log.warning("model problem", model=name, problem=problem.text)
        self.problems[name] = problem


def _storage_is_away(error: AiopsError) -> bool:
    """Whether an error is about the storage, not the version, which may load later; see Version.load_problem."""
    return isinstance(error, StoreError) and not isinstance(error, NotFoundError | IntegrityError)
