"""A version of a model as one object: its number and digest belong together, and all that is asked of it is asked here.

A file is read, hashed and unpickled once a process and digest. Each use compares manifest and file with their recorded
digests all the same, so that what was changed on the disk meanwhile is noticed; for a file that nobody touched that
costs a look at its signature. Failures are not remembered.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol

import pandas as pd

from aiops_assets.errors import IntegrityError, ModelError, NotFoundError
from aiops_assets.families.contract import Family, Model, ModelSpec, Prediction
from aiops_assets.registry.loading import read_model
from aiops_assets.storage.digests import digest_of
from aiops_assets.storage.records import Manifest
from aiops_assets.storage.remembered import Remembered
from aiops_assets.storage.served import ServedModels

MOST_VERSIONS = 16
"""Two versions of each model, and some. A forecaster's prediction of a hold-out is 3 MB."""


class Recorded(Protocol):
    """What records keep of a version, outside its directory: a champion record's entry, an asset's reference."""

    @property
    def version(self) -> int: ...  # noqa: D102

    @property
    def manifest_sha256(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class _Loaded(Generic[Model]):
    """A model, and what its smoke inference found once it was asked for."""

    model: Model
    problems: list[str] | None = None


@dataclass
class _Memory(Generic[Model, Prediction]):
    """What is known of a version.

    Attributes:
        content: the verified model file, as long as nobody wanted the model in it.
        loaded: the model.
        prediction: the newest hold-out it was asked for: data version, and what it predicted.
        lock: held by the thread that reads and unpickles.
    """

    content: bytes | None = None
    loaded: _Loaded[Model] | None = None
    prediction: tuple[str, Prediction] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


class Version(Generic[Model, Prediction]):
    """One version of a model; see :func:`version_of` for those that a process shares.

    Attributes:
        served: the store that it lies in.
        spec: of the model.
        number: which.
        digest: SHA-256 of its manifest, recorded outside its directory.
    """

    def __init__(
        self,
        served: ServedModels,
        spec: ModelSpec[Model, Prediction],
        recorded: Recorded,
        memory: "_Memory[Model, Prediction] | None" = None,
    ) -> None:
        self.served = served
        self.spec = spec
        self.number = recorded.version
        self.digest = recorded.manifest_sha256
        self._memory: _Memory[Model, Prediction] = memory or _Memory()

    @property
    def name(self) -> str:
        """Of the model."""
        return self.spec.name

    @property
    def family(self) -> Family[Model, Prediction]:
        """How the model is asked."""
        return self.spec.family

    @property
    def manifest(self) -> Manifest:
        """Read anew each time and compared with the recorded digest.

        Raises:
            NotFoundError: no such version.
            IntegrityError: not a manifest, or not the recorded one.
        """
        return self.served.manifest(self.name, self.number, self.digest)

    def verify(self) -> Manifest:
        """The manifest, when it is the recorded one and every file has the digest that it names.

        Raises:
            NotFoundError: no such version.
            IntegrityError: naming what differs.
        """
        with self._memory.lock:
            if self._memory.loaded is None:
                # The model is likely to be wanted next: one reading for both. What is wrong is named below.
                with suppress(NotFoundError, IntegrityError):
                    self._content(self.manifest)
            return self.served.verified(self.name, self.number, self.digest)

    def model(self) -> Model:
        """The model, when it is what was recorded and fits the code that is to ask it. Nobody may change it.

        Raises:
            NotFoundError: no such version.
            IntegrityError: manifest or file differ from their recorded digests; nothing was unpickled.
            ModelError: other columns, order, width, units or another minor version of the package that wrote the file
                (nothing was unpickled), or a file that cannot be read.
        """
        return self._loaded().model

    def load_problem(self) -> str:
        """Why it cannot be loaded; empty when it can.

        Raises:
            StoreError: the storage cannot be read at all, which says nothing about the version.
        """
        try:
            self.model()
        except (NotFoundError, IntegrityError, ModelError) as error:
            return str(error)
        return ""

    def smoke_test(self) -> list[str]:
        """What is wrong with its answers; empty when nothing is. Raises what :meth:`model` raises."""
        with self._memory.lock:
            loaded = self._loaded()
            if loaded.problems is None:
                loaded = _Loaded(loaded.model, self.family.smoke_problems(loaded.model))
                self._memory.loaded = loaded
            return list(loaded.problems or ())

    def require_servable(self) -> None:
        """Verify, load and ask it.

        Raises:
            NotFoundError, IntegrityError, ModelError: why it must not be served.
        """
        self.verify()
        if problems := self.smoke_test():
            raise ModelError(
                f"{self.name} version {self.number} is not served: {'; '.join(problems)}",
                code="no_usable_answer",
                version=self.number,
            )

    def predict_holdout(self, rows: pd.DataFrame, data_version: str) -> Prediction:
        """Predictions for the hold-out of a training set; it is verified also where these are remembered.

        Args:
            rows: of the training set, train and hold-out: a window detector reads the one before the other.
            data_version: of these rows.

        Raises:
            NotFoundError, IntegrityError, ModelError: it cannot be loaded.
        """
        with self._memory.lock:
            model, known = self.model(), self._memory.prediction
            if known is None or known[0] != data_version:
                known = data_version, self.family.predict_holdout(model, rows)
                self._memory.prediction = known
            return known[1]

    def explain(self, rows: pd.DataFrame) -> Prediction:
        """Predictions for some rows with contributions. Raises what :meth:`model` raises."""
        return self.family.explain(self.model(), rows)

    def probe(self) -> Prediction:
        """What it predicts when nothing is wrong, for people to look at. Raises what :meth:`model` raises."""
        return self.family.probe(self.model())

    def adopt(self, model: Model, prediction: Prediction, data_version: str) -> None:
        """Take over from the fit that published it the model that was read back from the very bytes of its file.

        Args:
            model: which need not be unpickled again; the file is still compared before it is used.
            prediction: for the hold-out of the training set that it was fitted on.
            data_version: of that training set.
        """
        with self._memory.lock:
            self._memory.loaded = self._memory.loaded or _Loaded(model)
            self._memory.prediction = data_version, prediction

    def beside(self, recorded: Recorded) -> "Version[Model, Prediction]":
        """Another version of the same model."""
        return version_of(self.served, self.spec, recorded)

    def _loaded(self) -> _Loaded[Model]:
        with self._memory.lock:
            manifest = self.manifest
            if self._memory.loaded is None or not self._is_file_of(manifest):
                content = self._content(manifest)
                if self._memory.loaded is None:
                    self._memory.loaded = _Loaded(read_model(self.spec, manifest, content))
                self._memory.content = None
            return self._memory.loaded

    def _content(self, manifest: Manifest) -> bytes:
        """The model file. Raises IntegrityError: it is not the one that the manifest names."""
        if self._memory.content is None or not self._is_file_of(manifest):
            self._memory.content = self.served.load_file(self.name, self.number, self.family.model_file, self.digest)
        return self._memory.content

    def _is_file_of(self, manifest: Manifest) -> bool:
        path = f"{self.name}/{self.number}/{self.family.model_file}"
        return digest_of(self.served.storage, path) == manifest.files.get(self.family.model_file)


_memories: Remembered[tuple[str, str, Family[Any, Any], int, str], _Memory[Any, Any]] = Remembered(MOST_VERSIONS)


def version_of(
    served: ServedModels, spec: ModelSpec[Model, Prediction], recorded: Recorded
) -> Version[Model, Prediction]:
    """A version whose model and prediction all of this process share.

    Args:
        served: version directories; each caller's own connection to them.
        spec: of the model.
        recorded: its number, and the digest of its manifest as recorded outside its directory.
    """
    key = (served.storage.url, spec.name, spec.family, recorded.version, recorded.manifest_sha256)
    return Version(served, spec, recorded, _memories.get_or_make(key, _Memory))
