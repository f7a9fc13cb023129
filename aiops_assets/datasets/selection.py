"""Which models an environment trains and serves, according to its settings."""

from collections.abc import Sequence
from dataclasses import replace

from aiops_assets.families.catalog import MODELS
from aiops_assets.families.contract import ModelSpec
from aiops_assets.settings import Settings
from aiops_assets.views.catalog import VIEWS, View


def active_models(settings: Settings) -> tuple[ModelSpec, ...]:
    """The specs of the models in ``MODELS``, with sources and parameters from the settings."""
    return tuple(_as_set(spec, settings) for spec in MODELS if not settings.models or spec.name in settings.models)


def training_sets_of(specs: Sequence[ModelSpec]) -> list[tuple[View, str]]:
    """The training sets that models need, each once: (view, source); the source is empty for the environment's own."""
    return [(VIEWS[view], source) for view, source in dict.fromkeys((spec.view, spec.source) for spec in specs)]


def asset_name(name: str, kind: str) -> str:
    """Name of what is made of a model: ``anomaly-detector``, ``model`` -> ``anomaly_detector_model``."""
    return f"{name.replace('-', '_')}_{kind}"


def training_set_name(view: str, source: str) -> str:
    """Name of a training set in asset keys and handoffs."""
    return f"{view}_{source}" if source else view


def _as_set(spec: ModelSpec, settings: Settings) -> ModelSpec:
    set_by = {
        "trees": settings.forecast_trees,
        "lookback_window": settings.lookback_window,
        "forecast_horizon": settings.forecast_horizon,
    }
    parameters = {name: set_by.get(name, value) for name, value in spec.parameters.items()}
    source = settings.model_sources.get(spec.name, "")
    # A source that equals the environment's own, also under another name, is not another training set.
    same = _plain(source, settings) == _plain(settings.data_source, settings)
    return replace(spec, parameters=parameters, source="" if same else source)


def _plain(source: str, settings: Settings) -> str:
    """The source that ``auto`` stands for; other sources unchanged."""
    if source != "auto":
        return source
    return "prometheus" if settings.prometheus_url else "synthetic"
