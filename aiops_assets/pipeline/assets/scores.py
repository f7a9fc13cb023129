"""The asset scores: scores of the newest hour and forecasts of the next day, by the served champions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import numpy as np
import pandas as pd

from aiops_assets.datasets.newest import SCORED, NewestWindow, fetch_newest, generated_window, stored_window
from aiops_assets.errors import PrometheusUnreachable
from aiops_assets.families.contract import ModelSpec
from aiops_assets.judging.forecasting.holdout import frame_of
from aiops_assets.pipeline.assets.raw_metrics import RAW_METRICS
from aiops_assets.pipeline.drift_checks import drift_result, drift_spec
from aiops_assets.pipeline.keys import OWNER, SCORES_GROUP, SERVED, key_of
from aiops_assets.pipeline.metadata import picture, preview, table_schema
from aiops_assets.pipeline.pod_resources import step_tags
from aiops_assets.pipeline.resources import PrometheusResource, StoresResource
from aiops_assets.pipeline.writing_back import written_back, written_back_spec
from aiops_assets.registry.explaining import explained
from aiops_assets.registry.metric_scoring import score_metrics
from aiops_assets.registry.metric_tables import MetricTables, with_metrics
from aiops_assets.registry.paging import Paging
from aiops_assets.registry.scoring import NOTHING_SERVED, ChampionPredictions, predict_newest
from aiops_assets.registry.silence import with_silence
from aiops_assets.reporting import plots, previews
from aiops_assets.reporting.forecast_pictures import probe_chart
from aiops_assets.settings import Settings
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.present import PresentPods
from aiops_assets.timeseries.pod_identity import pod_text
from aiops_assets.timeseries.schema import combined_digest

SCORES = dg.AssetKey("scores")
NEWEST_WINDOW, CHAMPIONS_ASKED = "newest_window", "champions_asked"


def scores_asset(specs: Sequence[ModelSpec], *, writes_back: bool = False) -> dg.AssetsDefinition:
    """The asset with the predictions of all served champions for the newest window.

    Args:
        specs: the models.
        writes_back: whether what is shown is sent to a server too, with a check of its own.
    """

    @dg.asset(
        key=SCORES,
        deps=[RAW_METRICS, *(key_of(spec.name, SERVED) for spec in specs)],
        group_name=SCORES_GROUP,
        owners=[OWNER],
        kinds={"parquet"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        op_tags=step_tags("scores"),
        check_specs=[
            dg.AssetCheckSpec(
                NEWEST_WINDOW,
                asset=SCORES,
                description="Warns if the server is away or the window is old, so that scores are not of the present.",
            ),
            dg.AssetCheckSpec(
                CHAMPIONS_ASKED, asset=SCORES, description="Warns if a served model gave no predictions."
            ),
            drift_spec(SCORES),
            *([written_back_spec(SCORES)] if writes_back else []),
        ],
        description=(
            "Predictions of each served model for the newest window, every SCORE_MINUTES (5): scores and alerts of "
            "pods over the newest hour, forecasts of the cluster's metrics up to a day ahead; pages of pods and "
            "nodes, by one budget of the cluster (ALERTS_PER_DAY); and what runs out. Parquet below "
            "`<home>/scores/cluster=<name>/`, a folder a run, kept for a week, with the day and the expected bands of "
            "what is paged or under notice; the service's `/metrics` shows the newest, `aiops scores` explains it. If "
            "the server is away, cached days are used and their age is reported; generated days never are."
        ),
        metadata=table_schema(
            {
                "timestamp": ("timestamp[us, UTC]", "instant of the row"),
                "model_name": ("string", "which model"),
                "model_version": ("int64", "its version"),
                "namespace": ("string", "of the pod; empty where it is not known"),
                "pod": ("string", "whose row it is"),
                "workload": ("string", "what made the pod, by kube-state-metrics or else by the pod's name"),
                "anomaly_score": ("double", "higher is more anomalous; models have scales of their own"),
                "is_anomaly": ("bool", "the model raises an alert, the notice"),
                "contributing_features": ("string", "JSON: metric to share, the largest first"),
            }
        ),
    )
    def scores(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        prometheus: PrometheusResource,
        stores: StoresResource,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads None there as a second output
        now = datetime.now(UTC)
        lost: dict[str, str] = {}
        if settings.fetches:
            problem = _fetch(prometheus, stores.lake(), now, settings, context.log.info, lost)
            if problem and settings.fallback == ("fail",):
                raise PrometheusUnreachable(
                    f"{problem}; FALLBACK=fail: nothing is scored", code="nothing_scored", problem=problem
                )
            window = stored_window(settings, stores.lake(), now, problem)
        else:
            window = generated_window(settings, now)
        paging = Paging(stores.page_states(), settings.alerts_per_day, settings.score_minutes)
        predictions = predict_newest(
            stores.served(), specs, window, now, settings.cluster, stores.pod_memories(), paging
        )
        tables = _own_metrics(settings, stores, window, now)
        not_fetched = {
            own.spec.name: f"it is not fetched: {lost.get(own.spec.name) or lost[own.spec.members.name]}"
            for own in settings.own_metrics
            if lost.keys() & {own.spec.name, own.spec.members.name}
        }
        run = with_metrics(predictions.run, tables, not_fetched)
        present = PresentPods(stores.lake().storage, settings.cluster).newest(now)
        predictions = replace(predictions, run=with_silence(run, window, tables.watched, present, now))
        old, broken = _problems(window, predictions, now)
        old += [f"{name} looks like a counter: add type: counter to its entry" for name in tables.counters]
        old += [f"{name}: {why}" for name, why in run.record.metrics_not_scored.items()]
        for line in (*old, *broken):
            context.log.warning(line)
        run = explained(predictions.run, window, stores.scores().newest_episodes(now))
        record, gone = stores.scores().put(run)
        written = written_back(settings, stores, run, context.log.info)
        context.log.info(
            f"{len(predictions.run.scores)} scores, {len(predictions.run.forecasts)} forecasts; "
            f"{len(gone)} old runs removed"
        )
        alerts = predictions.run.scores["is_anomaly"]
        plot = _plot(predictions)
        running_out = predictions.exhausting
        return dg.MaterializeResult(
            data_version=dg.DataVersion(combined_digest(record.files)),
            metadata={
                "dagster/uri": stores.scores().locate(record.run_name),
                "dagster/row_count": len(predictions.run.scores),
                "effective_source": record.source,
                **({"notes": "; ".join(old)} if old else {}),
                **{f"newest_{name}": end.isoformat() for name, end in window.ends.items()},
                **{f"age_minutes_{name}": (now - end).total_seconds() / 60 for name, end in window.ends.items()},
                "pods": record.pods,
                **{f"unwatched_{why}": n for why, n in (record.unwatched or {}).items() if n},
                "pods_with_known_workload": len(window.workloads),
                "pods_under_alert": len(predictions.run.scores.loc[alerts, ["namespace", "pod"]].drop_duplicates()),
                "pages": len(predictions.run.pages[["namespace", "pod", "node"]].drop_duplicates()),
                "forecasts": len(predictions.run.forecasts),
                "silent": len(predictions.run.silence),
                "running_out": len(running_out.rows),
                "running_out_postponed": running_out.postponed,
                "own_metric_series": len(predictions.run.metrics[["metric", "labels"]].drop_duplicates()),
                "models": dg.MetadataValue.json([model.model_dump() for model in record.models]),
                "left_out": dg.MetadataValue.json(record.left_out),
                "pods_version": record.pods_version,
                "cluster_version": record.cluster_version,
                **{f"resumed_{name}": n for name, n in predictions.resumed.items()},
                **preview(_preview(predictions)),
                **({"plot": picture(plot)} if plot else {}),
            },
            check_results=[
                _check(NEWEST_WINDOW, old),
                _check(CHAMPIONS_ASKED, broken),
                drift_result(settings, stores, specs, now),
                *written,
            ],
        )

    return scores


def _fetch(
    prometheus: PrometheusResource,
    lake: Lake,
    now: datetime,
    settings: Settings,
    say: Callable[[str], None],
    lost: dict[str, str],
) -> str:
    """Fetch samples up to now; why the server could not be reached, empty if it was.

    ``lost`` gets the metrics of METRICS_FILE without a usable answer, and why.
    """
    try:
        with prometheus.clients() as (client, archive):
            servers = (prometheus.server, prometheus.archive)
            own = [one.spec for one in settings.own_metrics]
            missed = [one.spec for one in settings.own_metrics if one.watch.silence]
            scored = settings.queried(SCORED)
            fetch_newest(
                client, lake, now, archive, scored, own=own, missed=missed, servers=servers, say=say, lost=lost
            )
    except PrometheusUnreachable as error:
        return str(error)
    return ""


def _own_metrics(settings: Settings, stores: StoresResource, window: NewestWindow, now: datetime) -> MetricTables:
    """Scores of the metrics of METRICS_FILE; none where nothing is fetched."""
    own = settings.own_metrics if settings.fetches else ()
    most = settings.metric_series_max
    return score_metrics(own, stores.lake(), stores.metric_states(), now, window.workloads, most)


def _problems(window: NewestWindow, predictions: ChampionPredictions, now: datetime) -> tuple[list[str], list[str]]:
    """Problems of the window, and messages about served models without predictions."""
    left_out = predictions.run.record.left_out
    broken = [f"{name}: {why}" for name, why in left_out.items() if why != NOTHING_SERVED]
    return window.problems(now), broken


def _check(name: str, problems: Sequence[str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=not problems,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(problems) or None,
    )


def _preview(predictions: ChampionPredictions) -> str:
    """The pods with the highest scores of the newest hour, by the first detector; without one, the first forecast."""
    scores = predictions.run.scores
    if scores.empty:
        forecasts = predictions.run.forecasts
        first = forecasts[forecasts["model_name"] == forecasts["model_name"].min()]
        return previews.timeline(first.loc[first["metric_name"] == first["metric_name"].min(), "value"])
    # Scales of models differ.
    first = scores[scores["model_name"] == scores["model_name"].iloc[0]]
    pods = pd.Series(list(map(pod_text, first["namespace"], first["pod"])), first.index, dtype=str)
    highest = first["anomaly_score"].groupby(pods).max()
    return previews.ranking(highest.to_dict(), set(pods[first["is_anomaly"]]), str(first["model_name"].iloc[0]))


def _plot(predictions: ChampionPredictions) -> bytes:
    """PNG of the first forecast or, without one, of the scores; empty without any predictions."""
    for name, forecast in predictions.forecasts.items():
        return probe_chart(frame_of(forecast), f"the day to come, {name}")
    scores = predictions.run.scores
    if scores.empty:
        return b""
    first = scores[scores["model_name"] == scores["model_name"].iloc[0]]
    return plots.score_histogram(
        first["anomaly_score"].to_numpy(),
        np.zeros(len(first)),
        f"scores of the newest hour, {first['model_name'].iloc[0]}",
        None,
    )
