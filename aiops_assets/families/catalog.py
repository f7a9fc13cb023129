"""Which models there are: the built-in ones, and those that other packages register.

A package registers a model by an entry point of the group ``aiops_assets.families`` that names a ModelSpec::

    [project.entry-points."aiops_assets.families"]
    my-model = "my_package.my_model:MY_MODEL"
"""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from aiops_assets.errors import ModelError
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.arima_predictor import ARIMA_PREDICTOR
from aiops_assets.families.contract import ModelSpec, check_complete
from aiops_assets.families.ensemble_predictor import ENSEMBLE_PREDICTOR
from aiops_assets.families.fracast_predictor import FRACAST_PREDICTOR
from aiops_assets.families.lstm_predictor import LSTM_PREDICTOR
from aiops_assets.families.predictive_analytics import PREDICTIVE_ANALYTICS
from aiops_assets.families.prophet_predictor import PROPHET_PREDICTOR

GROUP = "aiops_assets.families"
BUILT_IN = (
    ANOMALY_DETECTOR,
    ENSEMBLE_PREDICTOR,
    LSTM_PREDICTOR,
    PREDICTIVE_ANALYTICS,
    ARIMA_PREDICTOR,
    PROPHET_PREDICTOR,
    FRACAST_PREDICTOR,
)
"""In the order in which people see them. A new model is one file in this folder and one line here."""


def registered(built_in: Iterable[ModelSpec], others: Iterable[EntryPoint]) -> tuple[ModelSpec, ...]:
    """All models, each checked.

    Raises:
        ModelError: one is incomplete or cannot be imported, or two share a name; the message names the entry point.
    """
    found = [(check_complete(spec, f"model {spec.name}"), "aiops_assets") for spec in built_in]
    for entry in sorted(others, key=lambda one: one.name):
        where = f"entry point {entry.name} of {entry.dist.name if entry.dist else entry.value}"
        try:
            loaded = entry.load()
        except Exception as error:
            raise ModelError(
                f"{where} cannot be imported ({type(error).__name__}: {error}): repair or uninstall that package"
            ) from error
        found.append((check_complete(loaded, where), where))
    owners: dict[str, str] = {}
    for spec, where in found:
        for name in (spec.name, *spec.aliases):
            if name in owners:
                raise ModelError(f"{where}: the name {name} is taken by {owners[name]}: choose another")
            owners[name] = where
    return tuple(spec for spec, _ in found)


MODELS = registered(BUILT_IN, entry_points(group=GROUP))
MODEL_NAMES = tuple(spec.name for spec in MODELS)
ALIASES = {alias: spec.name for spec in MODELS for alias in spec.aliases}
"""Older name -> the model that it stands for."""


def named(name: str) -> str:
    """The model that a name, older ones too, stands for; other names as they are."""
    return ALIASES.get(name, name)
