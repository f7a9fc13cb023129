"""A version of a model as one object with number and digest: verified, loaded and used through it.

A file is read, hashed and unpickled once per process and digest. Each use still compares manifest and file with their
recorded digests, so that changes on the disk are noticed; for an unchanged file that costs a look at its signature.
Failures are not remembered.
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

MAX_VERSIONS = 16
"""Number of versions kept in memory: two of each model and some more. A forecaster's hold-out forecast is 3 MB."""


class Recorded(Protocol):
    """Number and digest of a version, recorded outside its directory: in a champion record or an asset's reference."""

    @property
    def version(self) -> int: ...  # noqa: D102

    @property
    def manifest_sha256(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class _Loaded(Generic[Model]):
    """A model, and the problems found by its smoke inference; ``None``: not run yet."""

    model: Model
    problems: list[str] | None = None


@dataclass
class _Memory(Generic[Model, Prediction]):
    """What a process keeps of a version.

    Attributes:
        content: content of the verified model file, until the model is read from it.
        loaded: the model, once it was read.
        prediction: data version and predictions of the hold-out that was predicted last.
        lock: held by the thread that reads and unpickles.
    """

    content: bytes | None = None
    loaded: _Loaded[Model] | None = None
    prediction: tuple[str, Prediction] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


class Version(Generic[Model, Prediction]):
    """One version of a model; :func:`version_of` returns those that share their model within a process.

    Attributes:
        served: store of the version.
        spec: the model.
        number: version number.
        digest: SHA-256 of the manifest, recorded outside its directory.
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
        """Model name."""
        return self.spec.name

    @property
    def family(self) -> Family[Model, Prediction]:
        """Family of the model."""
        return self.spec.family

    @property
    def manifest(self) -> Manifest:
        """The manifest, read anew each time and compared with the recorded digest.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: the manifest is not valid or not the recorded one.
        """
        return self.served.manifest(self.name, self.number, self.digest)

    def verify(self) -> Manifest:
        """The manifest, if it is the recorded one and every file has the digest that it names.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: the manifest or a file differs; the message names it.
        """
        with self._memory.lock:
            if self._memory.loaded is None:
                # The model is likely to be used next, so that the file is read once for both. Errors are raised below.
                with suppress(NotFoundError, IntegrityError):
                    self._content(self.manifest)
            return self.served.verified(self.name, self.number, self.digest)

    def model(self) -> Model:
        """The model, if it has its recorded digest and fits the present code. It is shared: do not change it.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: manifest or file differ from their recorded digests; nothing was unpickled.
            ModelError: columns, their order, width, units or the minor version of the package that wrote the file
                differ (nothing was unpickled), or the file cannot be read.
        """
        return self._loaded().model

    def load_problem(self) -> str:
        """Why the model cannot be loaded; empty when it can.

        Raises:
            StoreError: the storage cannot be read, which says nothing about the version.
        """
        try:
            self.model()
        except (NotFoundError, IntegrityError, ModelError) as error:
            return str(error)
        return ""

    def smoke_test(self) -> list[str]:
        """Problems of the model's predictions; empty: there are none. Raises as :meth:`model` does."""
        with self._memory.lock:
            loaded = self._loaded()
            if loaded.problems is None:
                loaded = _Loaded(loaded.model, self.family.smoke_problems(loaded.model))
                self._memory.loaded = loaded
            return list(loaded.problems or ())

    def require_servable(self) -> None:
        """Verify, load and smoke-test the version.

        Raises:
            NotFoundError, IntegrityError, ModelError: the version must not be served; the message says why.
        """
        self.verify()
        if problems := self.smoke_test():
            raise ModelError(
                f"{self.name} version {self.number} is not served: {'; '.join(problems)}",
                code="no_usable_answer",
                version=self.number,
            )

    def predict_holdout(self, rows: pd.DataFrame, data_version: str) -> Prediction:
        """Predictions for the hold-out of a training set; the version is verified also if these are remembered.

        Args:
            rows: rows of the training set, train and hold-out, because a window detector also reads earlier rows.
            data_version: data version of these rows.

        Raises:
            NotFoundError, IntegrityError, ModelError: the model cannot be loaded.
        """
        with self._memory.lock:
            model, known = self.model(), self._memory.prediction
            if known is None or known[0] != data_version:
                known = data_version, self.family.predict_holdout(model, rows)
                self._memory.prediction = known
            return known[1]

    def explain(self, rows: pd.DataFrame) -> Prediction:
        """Predictions with contributions for ``rows``. Raises as :meth:`model` does."""
        return self.family.explain(self.model(), rows)

    def probe(self) -> Prediction:
        """Predictions for healthy generated rows, for pictures. Raises as :meth:`model` does."""
        return self.family.probe(self.model())

    def adopt(self, model: Model, prediction: Prediction, data_version: str) -> None:
        """Keep the model of the fit that published this version, so that its file is not unpickled again.

        Args:
            model: the model as read back from the bytes of the file; the file is still compared before each use.
            prediction: its predictions for the hold-out of its training set.
            data_version: data version of that training set.
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
        """Content of the model file. Raises IntegrityError: its digest is not that in the manifest."""
        if self._memory.content is None or not self._is_file_of(manifest):
            self._memory.content = self.served.load_file(self.name, self.number, self._file_of(manifest), self.digest)
        return self._memory.content

    def _is_file_of(self, manifest: Manifest) -> bool:
        file = self._file_of(manifest)
        return digest_of(self.served.storage, f"{self.name}/{self.number}/{file}") == manifest.files.get(file)

    def _file_of(self, manifest: Manifest) -> str:
        """Name of the model file; versions of earlier releases may have another."""
        names = (self.family.model_file, *self.family.older_files)
        return next((name for name in names if name in manifest.files), names[0])


_memories: Remembered[tuple[str, str, Family[Any, Any], int, str], _Memory[Any, Any]] = Remembered(MAX_VERSIONS)


def version_of(
    served: ServedModels, spec: ModelSpec[Model, Prediction], recorded: Recorded
) -> Version[Model, Prediction]:
    """A version that shares its model and predictions with all others of the same digest in this process.

    Args:
        served: the caller's connection to the version directories.
        spec: the model.
        recorded: version number and manifest digest, as recorded outside the version's directory.
    """
    key = (served.storage.url, spec.name, spec.family, recorded.version, recorded.manifest_sha256)
    return Version(served, spec, recorded, _memories.get_or_make(key, _Memory))
