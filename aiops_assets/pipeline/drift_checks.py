"""Checks of distributions: `drift` of scores, which needs no retrain, and `outliers` of training sets."""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg
import pandas as pd

from aiops_assets.datasets.drift import Looks
from aiops_assets.errors import StoreError
from aiops_assets.families.contract import ModelSpec
from aiops_assets.pipeline.resources import StoresResource
from aiops_assets.settings import Settings
from aiops_assets.storage.drift import DriftReport
from aiops_assets.timeseries.outliers import MANY, outlier_shares
from aiops_assets.views.catalog import View

DRIFT = "drift"
Metadata = int | str | dg.TableMetadataValue | dg.JsonMetadataValue
ABOUT = (
    "Warns when the newest 24 hours of a metric are no longer like the days that its champion was trained on, by more "
    "than days of training differ. Looks once an hour; generated days are not compared."
)


def drift_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """The spec of the check."""
    return dg.AssetCheckSpec(DRIFT, asset=asset, description=ABOUT)


def drift_result(
    settings: Settings, stores: StoresResource, specs: Sequence[ModelSpec], now: datetime
) -> dg.AssetCheckResult:
    """Look, and report. A look that fails is a warning of this check, and never a failure of the scores."""
    if not settings.fetches:
        return _result(True, "", {"compared": 0})
    looks = Looks(stores.lake(), stores.training_sets(), stores.served(), stores.drift(), specs)
    try:
        report = looks.newest(now)
    except StoreError as error:
        return _result(False, str(error), {})
    return _result(report.since is None, report.text, _metadata(report))


def outliers_result(key: dg.AssetKey, view: View, rows: pd.DataFrame) -> dg.AssetCheckResult:
    """The check `outliers` of a training set: normal rows by metric and day, but for counters, which only rise."""
    normal = rows[rows["label"] == 0]
    owner = normal["source"] + "/" + normal["pod"].astype(str)
    levels = [pair for pair in zip(view.metrics, view.values, strict=True) if not pair[0].cumulative]
    shares = {metric.name: outlier_shares(normal["timestamp"], owner, normal[column]) for metric, column in levels}
    many = [
        f"{name} {day} ({share:.1%})" for name, days in shares.items() for day, share in days.items() if share >= MANY
    ]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name="outliers",
        passed=not many,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"many values are far from what their series has at that hour: {', '.join(many)}" if many else None,
        metadata={
            "days_with_many": len(many),
            "shares": dg.MetadataValue.json(
                {name: {str(day): round(share, 5) for day, share in days.items()} for name, days in shares.items()}
            ),
        },
    )


def _result(passed: bool, problem: str, metadata: dict[str, Metadata]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=DRIFT,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=problem or None,
        metadata=metadata,
    )


def _metadata(report: DriftReport) -> dict[str, Metadata]:
    schema = dg.TableSchema(
        [
            dg.TableColumn("metric", "string"),
            dg.TableColumn("psi", "float", "population stability index"),
            dg.TableColumn("ks", "float", "Kolmogorov-Smirnov distance"),
            dg.TableColumn("shift", "float", "in standard deviations of training, at most 2"),
            dg.TableColumn("width", "float", "1: as in training"),
            dg.TableColumn("strength", "float", "above 1: more than chance"),
            dg.TableColumn("drifted", "bool"),
            dg.TableColumn("models", "string", "champions that were trained on it"),
        ]
    )
    records = [
        dg.TableRecord(
            {
                "metric": one.metric,
                "psi": round(one.psi, 3),
                "ks": round(one.ks, 3),
                "shift": round(one.shift, 3),
                "width": round(one.width, 3),
                "strength": round(one.strength, 3),
                "drifted": one.drifted,
                "models": ", ".join(one.models),
            }
        )
        for one in report.metrics
    ]
    return {
        "compared": len(report.metrics),
        "drifted": len(report.drifted),
        "looked_at": report.when.isoformat(),
        "metrics": dg.MetadataValue.table(records, schema),
        "not_judged": dg.MetadataValue.json(report.not_judged),
    }
