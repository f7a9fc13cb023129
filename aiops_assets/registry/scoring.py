"""Predictions of the champions for the newest window: scores of each pod, forecasts of each metric of the cluster."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from aiops_assets.datasets.newest import SYNTHETIC, NewestWindow
from aiops_assets.datasets.notes import Note
from aiops_assets.errors import DataError, IntegrityError, ModelError, NotFoundError
from aiops_assets.families.contract import ModelSpec
from aiops_assets.families.forecasters import ForecastFamily
from aiops_assets.judging.detection.task import DETECTION
from aiops_assets.judging.forecasting.task import FORECASTING
from aiops_assets.learners.contracts import Forecast
from aiops_assets.registry.code_digest import code_digest
from aiops_assets.registry.exhausting import Exhausting, exhausting
from aiops_assets.registry.paging import NOBODY_PAGED, SHOWN_MINUTES, Paging
from aiops_assets.registry.pod_scoring import PodScoring
from aiops_assets.registry.version import version_of
from aiops_assets.storage.pod_memory import PodMemories
from aiops_assets.storage.records import ChampionMove
from aiops_assets.storage.scores import FORECAST_COLUMNS, SCORE_COLUMNS, PredictingModel, ScoresRecord, ScoresRun
from aiops_assets.storage.served import ServedModels
from aiops_assets.timeseries.history import STEP_SECONDS
from aiops_assets.timeseries.schema import content_digest
from aiops_assets.views import cluster_metrics as cluster_series
from aiops_assets.views.cluster_metrics import history_of_segment

HORIZON = 288
STEPS_AN_HOUR = 3600 // STEP_SECONDS
KEPT_STEPS = (*range(1, STEPS_AN_HOUR), *range(STEPS_AN_HOUR, HORIZON + 1, STEPS_AN_HOUR))
"""Steps of a forecast that are stored: every five minutes of the first hour, then every hour of the day."""
NOTHING_SERVED = "nothing is served yet"
OTHER_SIZE = "it was fitted on generated rows alone, whose metrics are of another size than this cluster's"


@dataclass(frozen=True)
class ChampionPredictions:
    """Predictions of the champions.

    Attributes:
        run: the run to store.
        forecasts: model -> its whole forecast, for pictures.
        resumed: detector that goes on from a memory -> number of pods that did.
        exhausting: what runs out.
    """

    run: ScoresRun
    forecasts: dict[str, Forecast]
    resumed: dict[str, int]
    exhausting: Exhausting


def predict_newest(
    served: ServedModels,
    specs: Sequence[ModelSpec],
    window: NewestWindow,
    made_at: datetime,
    cluster: str,
    memories: PodMemories | None = None,
    paging: Paging | None = None,
) -> ChampionPredictions:
    """Scores and forecasts of each champion; ``left_out`` of the record names those without any, and why.

    Args:
        served: version directories and champion records.
        specs: the models.
        window: the newest window, from :mod:`aiops_assets.datasets.newest`.
        made_at: time of the run.
        cluster: name of the cluster.
        memories: what earlier runs have kept of pods; without, all pods are scored from their begin on.
        paging: decides on pages; without, nobody is called.

    Raises:
        StoreError: the storage cannot be read at all.
    """
    pods = PodScoring(served, window, memories)
    scores: list[pd.DataFrame] = []
    forecasts: dict[str, Forecast] = {}
    forecast_rows: list[pd.DataFrame] = []

    scored_by = pods.scores_of(_detectors(served, specs))

    def add_scores(spec: ModelSpec, champion: ChampionMove) -> None:
        found = scored_by[spec.name] if spec.name in scored_by else pods.scores(spec, champion)
        if isinstance(found, Exception):
            raise found
        scores.append(found)

    def add_forecast(spec: ModelSpec, champion: ChampionMove) -> None:
        forecasts[spec.name] = _forecast(served, spec, champion, window)
        forecast_rows.append(_forecast_rows(spec, champion, forecasts[spec.name], made_at))

    add = {DETECTION.name: add_scores, FORECASTING.name: add_forecast}
    models: list[PredictingModel] = []
    left_out: dict[str, str] = {}
    for spec in specs:
        try:
            champion = _champion(served, spec)
            add[spec.family.task.name](spec, champion)
            figures = version_of(served, spec, champion).manifest.metrics
            proven = spec.family.task.proven_horizons
        except (NotFoundError, IntegrityError, ModelError, DataError) as error:
            left_out[spec.name] = str(error)
            continue
        models.append(
            PredictingModel(
                name=spec.name,
                version=champion.version,
                manifest_sha256=champion.manifest_sha256,
                kind=spec.family.task.name,
                data_version=champion.data_version,
                effective_source=champion.effective_source,
                # A hold-out of generated rows proves nothing of this cluster.
                proven=() if _knows_no_row_of(window, champion.effective_source) else proven(figures),
            )
        )
    if memories:
        memories.forget_others([name for name, why in left_out.items() if why != NOTHING_SERVED])
    pages = paging.pages(window) if paging else NOBODY_PAGED
    elsewhere = tuple(model.name for model in models if _knows_no_row_of(window, model.effective_source))
    scored = _together(scores, _NO_SCORES)
    begins = {forecast.times[0] - pd.Timedelta(seconds=STEP_SECONDS) for forecast in forecasts.values()}
    record = ScoresRecord(
        cluster=cluster,
        made_at=made_at,
        source=window.source,
        notes=(*window.notes, *([Note("models_of_generated_rows", models=elsewhere).text] if elsewhere else [])),
        code_version=code_digest(__name__),
        shown_minutes=paging.shown_minutes if paging else SHOWN_MINUTES,
        paged_until=pages.until,
        scored_until=scored["timestamp"].max().to_pydatetime() if len(scored) else None,
        forecast_from=min(begins).to_pydatetime() if begins else None,
        pods=len(pods.watched),
        unwatched=pods.unwatched(),
        pods_version=window.pods.digest if window.pods else "",
        cluster_version=content_digest(window.cluster) if window.cluster is not None else "",
        models=tuple(models),
        left_out=left_out,
    )
    running_out = exhausting(window, made_at)
    run = ScoresRun(record, scored, _together(forecast_rows, _NO_FORECASTS), pages.rows, exhaustion=running_out.rows)
    return ChampionPredictions(run, forecasts, pods.resumed, running_out)


def _detectors(served: ServedModels, specs: Sequence[ModelSpec]) -> dict[str, tuple[ModelSpec, ChampionMove]]:
    """Detectors whose champion is known, by name."""
    of_task: dict[str, list[ModelSpec]] = {DETECTION.name: [], FORECASTING.name: []}
    for spec in specs:
        of_task[spec.family.task.name].append(spec)
    found = {}
    for spec in of_task[DETECTION.name]:
        with suppress(NotFoundError, IntegrityError):  # said when it is asked
            found[spec.name] = spec, _champion(served, spec)
    return found


def _champion(served: ServedModels, spec: ModelSpec) -> ChampionMove:
    record = served.champion(spec.name)
    if record is None:
        raise NotFoundError(NOTHING_SERVED)
    return record.champion


def _knows_no_row_of(window: NewestWindow, source: str) -> bool:
    """Whether a model of this source was trained on generated rows alone, and the window is of a cluster."""
    return source == SYNTHETIC and window.source != SYNTHETIC


def _forecast(served: ServedModels, spec: ModelSpec, champion: ChampionMove, window: NewestWindow) -> Forecast:
    if window.cluster is None:
        raise DataError(str(window.lacking.get("cluster", "no metric of the cluster has a sample")))
    takes_any_size = not isinstance(spec.family, ForecastFamily) or spec.family.takes_any_size
    if not takes_any_size and _knows_no_row_of(window, champion.effective_source):
        raise DataError(OTHER_SIZE, code="of_generated_rows")
    history = history_of_segment(window.cluster, cluster_series.VALUES)
    forecast: Forecast = version_of(served, spec, champion).model().forecast(history, HORIZON)
    if not all(np.isfinite(side).all() for side in (forecast.value, forecast.lower, forecast.upper)):
        raise ModelError(f"version {champion.version} gives forecasts that are not finite")
    return forecast


def _forecast_rows(spec: ModelSpec, champion: ChampionMove, forecast: Forecast, made_at: datetime) -> pd.DataFrame:
    """Steps of a forecast, with the columns FORECAST_COLUMNS, one metric after the other."""
    kept = np.array(KEPT_STEPS) - 1
    n = len(forecast.metrics)
    frame = pd.DataFrame(
        {
            "made_at": pd.Timestamp(made_at).as_unit("us"),
            "model_name": spec.name,
            "model_version": champion.version,
            "metric_name": np.repeat(np.array(forecast.metrics, dtype=object), len(kept)),
            "predicted_for": np.tile(forecast.times[kept], n),
            **{side: getattr(forecast, side)[kept].T.ravel() for side in ("value", "lower", "upper")},
        }
    )
    return frame[list(FORECAST_COLUMNS)]


def _together(frames: Sequence[pd.DataFrame], none: dict[str, str]) -> pd.DataFrame:
    """All rows; without any, an empty frame with columns of the same types."""
    if frames:
        return pd.concat(frames, ignore_index=True)
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in none.items()})


_TIME = "datetime64[us, UTC]"
_NO_SCORES = dict(
    zip(SCORE_COLUMNS, (_TIME, "str", "int64", "str", "str", "str", "float64", "bool", "str"), strict=True),
)
_NO_FORECASTS = dict(
    zip(FORECAST_COLUMNS, (_TIME, "str", "int64", "str", _TIME, "float64", "float64", "float64"), strict=True),
)
