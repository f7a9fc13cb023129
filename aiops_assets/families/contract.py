"""The contract of a model with the asset chain, the service and the cards, and when a model may be registered."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic

import pandas as pd
from typing_extensions import TypeVar

from aiops_assets.errors import DataError, ModelError
from aiops_assets.judging.task import Task
from aiops_assets.learners.contracts import Forecaster, WindowDetector
from aiops_assets.views.catalog import VIEWS

Model = TypeVar("Model", default=Any)
Prediction = TypeVar("Prediction", default=Any)
"""Of one model. Left out where models of several kinds lie in one collection, as in the registry."""

ALWAYS_ANEW = "models of this kind are always fitted anew"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Asking(Enum):
    """Kinds of instances in requests to a served model."""

    ROWS = "rows"
    """One row of the manifest's width, without history."""
    ENGINE_ROWS = "engine rows"
    """A row of the coordination engine's, whose width decides what is predicted (contract 1.2)."""
    WINDOWS = "windows"
    """Rows of the manifest's columns, oldest first, at least ``least_rows`` of them."""


class Family(ABC, Generic[Model, Prediction]):
    """How models of one kind are fitted, stored, loaded, used and described; ``rows`` are those of a training set.

    Attributes:
        task: what its models predict, and how that is judged.
        model_file: the only model file of a version directory. Names that end in ``.joblib``, ``.pkl`` or ``.pickle``
            are for what scikit-learn's stock servers can load and ask.
        older_files: names that earlier releases gave this file; versions that have one are loaded all the same.
        read_by: the distribution that reads the model file and predicts without this package; empty: there is none.
        protocol: how the model file is read, for the manifest; empty: as the end of its name says.
        features: columns in order, as the manifest names them.
        units: metric -> unit.
        packages: distributions whose versions the manifest records.
        pickled_by: the distribution whose minor version must be the one that wrote the model file; empty when the
            file holds no pickle.
        contributors: names of the columns of contributions, or of the metrics of forecasts.
        framework: badge in the Dagster UI.
        typical_seconds: of a fit on generated days on one core, for estimates that people see.
        computes_on_gpu: whether a GPU makes its fit faster.
        threshold: the score above which there is an alert; ``None`` where that moves with time or there is none.
        asking: the kind of instances in requests.
        is_quick: whether one row is answered in microseconds, so that no thread is needed.
        least_rows: rows of history that a prediction needs; 1 where one row is enough.
        use, limits: its purpose, and where it must not be relied on: Markdown, for the card.
        how_refitted: how a retrain makes its model, for the card.
        loading: lines of Python that load its model file from ``folder``.
    """

    task: Task[Prediction]
    model_file: str
    older_files: tuple[str, ...] = ()
    read_by: str = ""
    protocol: str = ""
    features: tuple[str, ...]
    units: Mapping[str, str]
    packages: tuple[str, ...]
    pickled_by: str = ""
    contributors: tuple[str, ...]
    framework: str
    typical_seconds: float = 5.0
    computes_on_gpu: bool = False
    threshold: float | None = None
    asking: Asking
    is_quick: bool = False
    least_rows: int
    use: str
    limits: str
    how_refitted: str
    loading: tuple[str, ...]

    @abstractmethod
    def fit(self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Model | None = None) -> Model:
        """A fitted model; labels are not looked at.

        Args:
            rows: the train rows.
            parameters: those of the model's spec.
            seed: makes the fit reproducible.
            start: an earlier model for a warm start; families whose :meth:`why_anew` says why not ignore it.

        Raises:
            ModelError: nothing can be fitted on these rows.
        """

    def why_anew(self, start: Model, parameters: Mapping[str, object]) -> str:
        """Why there is no warm start from an earlier model; empty when there can be one."""
        return ALWAYS_ANEW

    @abstractmethod
    def predict_holdout(self, model: Model, rows: pd.DataFrame) -> Prediction:
        """Predictions for the hold-out of a training set; what is costly (contributions) may be left out."""

    @abstractmethod
    def baseline(self, rows: pd.DataFrame) -> Prediction:
        """Predictions of the baseline (null model) for the hold-out, from what a model of this family is shown."""

    def explain(self, model: Model, rows: pd.DataFrame) -> Prediction:
        """Predictions for some rows with contributions, also where :meth:`predict_holdout` leaves them out."""
        return self.predict_holdout(model, rows)

    @abstractmethod
    def probe(self, model: Model) -> Prediction:
        """Predictions of a model when nothing is wrong, for people to look at."""

    @abstractmethod
    def smoke_problems(self, model: Model) -> list[str]:
        """Reasons why a model must not be served; empty when there are none."""

    @abstractmethod
    def to_bytes(self, model: Model) -> bytes:
        """The model file."""

    @abstractmethod
    def from_bytes(self, data: bytes) -> Model:
        """Load a model file, whose digest was verified before."""

    def window_detector(self, columns: Sequence[str], alert_budget: float | None, seed: int) -> WindowDetector:
        """An unfitted detector of this kind for a series of any columns. Only families that have it are back-tested.

        Args:
            columns: names of the numeric columns.
            alert_budget: share of the time that may be under alert; the family's own by default.
            seed: makes models that draw random numbers reproducible.
        """
        raise DataError(f"{type(self).__name__} detects nothing in a series: back-test another model")

    def forecaster(self, seed: int) -> Forecaster:
        """An unfitted forecaster of this kind for any metrics. Only families that have it are back-tested."""
        raise DataError(f"{type(self).__name__} forecasts no history: back-test another model")

    def to_onnx(self, model: Model) -> bytes | None:
        """The model as an ONNX file with the same answers; ``None``: models of this kind have no such form.

        Raises:
            ModelError: a package is missing (code "package_missing"), or the answers would be others.
        """
        return None

    def for_serving(self, model: Model) -> Any:
        """The form in which a loaded model answers requests: faster, with the same answers."""
        return model


@dataclass(frozen=True)
class ModelSpec(Generic[Model, Prediction]):
    """One model: all that its asset chain needs to know.

    Attributes:
        name: also its directory, its InferenceService and its registered model.
        view: name of the view whose training sets it is fitted on.
        training_days: days of its training window, unless ``TRAINING_DAYS`` says otherwise.
        earlier_days: days before that window that it learns from, too, where the lake holds them; none are fetched for
            it, and none with ``TRAINING_DAYS``.
        description: one line for people.
        family: how it is handled.
        parameters: hyperparameters, recorded with each fit.
        aliases: older names that stand for it.
        source: DATA_SOURCE of this model; empty: the environment's.
    """

    name: str
    view: str
    training_days: int
    description: str
    family: Family[Model, Prediction]
    parameters: dict[str, object] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    source: str = ""
    earlier_days: int = 0


def check_complete(spec: object, where: str) -> ModelSpec:
    """Check that a model can be carried through the chain, before anything is trained.

    Args:
        spec: the object that was registered.
        where: who registered it, for the message.

    Raises:
        ModelError: it is not a ModelSpec, or its name, view or family lacks something; all problems are named.
    """
    if not isinstance(spec, ModelSpec):
        raise ModelError(f"{where}: {spec!r} is not a ModelSpec (aiops_assets.families.contract)")
    problems = []
    if not NAME.fullmatch(spec.name):
        problems.append(f"name {spec.name!r} must be lower-case letters, digits and dashes, at most 63")
    if spec.view not in VIEWS:
        problems.append(f"view {spec.view!r} is not one of {', '.join(VIEWS)}")
    if not isinstance(spec.family, Family):
        problems.append(f"family {spec.family!r} is not a Family")
    else:
        lacking = [name for name in Family.__annotations__ if not hasattr(spec.family, name)]
        if lacking:
            problems.append(f"its family {type(spec.family).__name__} lacks {', '.join(lacking)}")
    if problems:
        raise ModelError(f"{where}: {'; '.join(problems)}")
    return spec
