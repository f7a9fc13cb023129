"""Asset checks. Only checks for invalid data or an unusable model block; others warn."""

from collections.abc import Iterable

import dagster as dg
import pandas as pd

from aiops_assets.datasets.known import notes_on, notes_on_nodes, unknown_metrics
from aiops_assets.datasets.notes import Note
from aiops_assets.datasets.selection import training_set_name
from aiops_assets.errors import SchemaError, StoreError
from aiops_assets.families.catalog import MODELS
from aiops_assets.families.contract import ModelSpec
from aiops_assets.pipeline.assets.served import NOTHING_SERVED
from aiops_assets.pipeline.assets.training_sets import training_set_key
from aiops_assets.pipeline.drift_checks import outliers_result
from aiops_assets.pipeline.keys import EVALUATION, MODEL, SERVED, key_of
from aiops_assets.pipeline.pod_resources import step_tags
from aiops_assets.pipeline.resources import StoresResource
from aiops_assets.registry.version import version_of
from aiops_assets.settings import Settings
from aiops_assets.storage.handoff import DecisionRef, TrainingSetRef, VersionRef
from aiops_assets.storage.records import SourceReport
from aiops_assets.timeseries.drift import NOTABLE_PSI, drifted
from aiops_assets.timeseries.quality import FULL_DAY, too_little
from aiops_assets.views.catalog import View

NOTABLE_MISSING = 0.1
MAX_OUT_OF_BOUNDS = 0.01
"""Largest share of rows out of bounds: single readings are wrong in every cluster, more are a wrong unit."""


def training_set_checks(view: View, source: str = "") -> dg.AssetChecksDefinition:
    """All checks of a view's training set, which is read once."""
    key = training_set_key(view.name, source)

    def spec(name: str, description: str, blocking: bool = False) -> dg.AssetCheckSpec:
        return dg.AssetCheckSpec(name, asset=key, blocking=blocking, description=description)

    @dg.multi_asset_check(
        name=f"{training_set_name(view.name, source)}_checks",
        op_tags=step_tags("training_set"),
        specs=[
            spec("schema", "Columns, order, splits.", blocking=True),
            spec("bounds", "Values within the catalogue's.", blocking=True),
            spec("label_rate", "The requested share is anomalous, within whole rows or episodes.", blocking=True),
            spec(
                "window_coverage",
                "Enough of the window is there: below MIN_COVERAGE or 3 full days training stops, below 90 % it warns.",
                blocking=True,
            ),
            spec(
                "known_metrics",
                "Pods have the metrics: one that no fetched row knows stops training, one that a tenth lacks warns.",
                blocking=True,
            ),
            spec("nodes", "Warns if nodes were missing for a part of the window."),
            spec("missing_share", f"{view.counted.capitalize()} that gaps in the metrics cost."),
            spec("effective_source", "Warns if a fallback replaced the source."),
            spec("outliers", "Days on which many values are far from what their series has at that hour."),
            spec("drift", "Against the champion's training set."),
        ],
        ins={"training_set": dg.AssetIn(key=key)},
    )
    def checks(
        training_set: TrainingSetRef, settings: dg.ResourceParam[Settings], stores: StoresResource
    ) -> Iterable[dg.AssetCheckResult]:
        sets = stores.training_sets()
        rows = sets.rows(training_set.view, training_set.data_version)
        record = sets.record(training_set.view, training_set.data_version)
        source = training_set.source

        def result(name: str, problem: str, *, warn: bool = False, **metadata: float | None) -> dg.AssetCheckResult:
            return dg.AssetCheckResult(
                asset_key=key,
                check_name=name,
                passed=not problem,
                severity=dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR,
                description=problem or None,
                metadata={key: value for key, value in metadata.items() if value is not None},
            )

        yield result("schema", _schema_problem(view, rows))

        outside = view.out_of_bounds(rows)
        share = max(outside.values(), default=0) / len(rows)
        problem = f"{share:.1%} of rows outside the bounds: {outside}; is a unit wrong?"
        yield result("bounds", problem if share > MAX_OUT_OF_BOUNDS else "", rows_outside=sum(outside.values()))

        requested, found = record.anomaly_rate, float(rows["label"].mean())
        wrong = abs(found - requested) * len(rows) > view.label_tolerance(rows, requested)
        problem = f"{found:.4f} of the rows are anomalous, requested were {requested:.4f}"
        yield result("label_rate", problem if wrong else "", label_rate=found, asked=requested)

        stop, note = _coverage_problem(source, settings.min_coverage)
        full_days = source.full_days
        yield result("window_coverage", stop or note, warn=not stop, coverage=source.coverage, full_days=full_days)
        unknown, lacking = unknown_metrics(source.known), notes_on(source.known)
        shares = {f"known_{name}": one.share for name, one in source.known.items()}
        problem = "; ".join(note.text for note in unknown or lacking)
        yield result("known_metrics", problem, warn=not unknown, **shares)
        yield result("nodes", "; ".join(note.text for note in notes_on_nodes(source.nodes)), warn=True)
        missing = source.missing_share or 0.0
        problem = f"gaps in the metrics cost {missing:.1%} of the {view.counted}" if missing > NOTABLE_MISSING else ""
        yield result("missing_share", problem, warn=True, missing_share=missing)
        yield result("effective_source", source.note, warn=True)

        yield outliers_result(key, view, rows)
        moved = _moved_since_champion(view, training_set, rows, stores)
        names = ", ".join(f"{name} (PSI {index:.2f})" for name, index in sorted(moved.items()))
        problem = f"moved by more than PSI {NOTABLE_PSI}: {names}" if moved else ""
        yield result("drift", problem, warn=True, columns_moved=len(moved))

    return checks


def _schema_problem(view: View, rows: pd.DataFrame) -> str:
    try:
        view.validate(rows)
    except SchemaError as error:
        return str(error)
    return ""


def _coverage_problem(source: SourceReport, least: float) -> tuple[str, str]:
    """Why training stops, else a note; both are empty for a full window and for generated rows."""
    if source.coverage is None:
        return "", ""
    stop = too_little(source.coverage, source.full_days or 0, source.window_days or 0, least)
    if silent := [name for name, share in source.coverage_by_metric.items() if not share]:
        return f"no sample in the whole window of {', '.join(silent)}: is its exporter scraped, has a pod a limit?", ""
    lowest = min(source.coverage_by_metric, key=lambda name: source.coverage_by_metric[name])
    part = Note("part_of_window", share=source.coverage, lowest=lowest)
    note = part.text if source.coverage < FULL_DAY else ""
    return f"{stop.text} (least: {lowest})" if stop else "", note


def _moved_since_champion(
    view: View, training_set: TrainingSetRef, rows: pd.DataFrame, stores: StoresResource
) -> dict[str, float]:
    model = next((spec for spec in MODELS if spec.view == view.name), None)
    if model is None:
        return {}
    try:
        champion = stores.served().champion(model.name)
        if champion is None or champion.champion.data_version == training_set.data_version:
            return {}
        before = stores.training_sets().rows(view.name, champion.champion.data_version)
    except StoreError:
        # Evaluation and lineage report a damaged or missing training set of the champion; there is nothing to compare.
        return {}
    return drifted(_comparable(before), _comparable(rows), list(view.values))


def _comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Fetched normal rows; generated ones where there are no others. Another blend is not a drift."""
    normal = rows[rows["label"] == 0]
    fetched = normal[normal["source"] != "synthetic"]
    return normal if fetched.empty else fetched


def smoke_check(spec: ModelSpec) -> dg.AssetChecksDefinition:
    """The check that a new version passes its smoke inference before it is judged or served."""

    @dg.asset_check(
        name="smoke_prediction",
        asset=key_of(spec.name, MODEL),
        op_tags=step_tags("check"),
        blocking=True,
        description="The stored file is read back, verified and tried: constant or unknown values raise no alert.",
    )
    def smoke(model: VersionRef, stores: StoresResource) -> dg.AssetCheckResult:
        problems = version_of(stores.served(), spec, model).smoke_test()
        return dg.AssetCheckResult(passed=not problems, description="; ".join(problems) or None)

    return smoke


def something_is_served_check(spec: ModelSpec) -> dg.AssetChecksDefinition:
    """The check that warns while no version was good enough, which is normal for a new cluster and fails no run."""

    @dg.asset_check(
        name="something_is_served",
        asset=key_of(spec.name, SERVED),
        op_tags=step_tags("check"),
        description="Warns if every version so far was rejected, so that nothing is served.",
    )
    def something_is_served(stores: StoresResource) -> dg.AssetCheckResult:
        there = stores.served().champion(spec.name) is not None
        return dg.AssetCheckResult(
            passed=there,
            severity=dg.AssetCheckSeverity.WARN,
            description=None if there else f"{NOTHING_SERVED}: see not_worse_than_champion for the reason",
        )

    return something_is_served


def not_worse_check(spec: ModelSpec) -> dg.AssetChecksDefinition:
    """The check that warns about a rejected challenger, which is normal and fails no run."""

    @dg.asset_check(
        name="not_worse_than_champion",
        asset=key_of(spec.name, EVALUATION),
        op_tags=step_tags("check"),
        description="Warns when the new version is not the one that is served.",
    )
    def not_worse(decision: DecisionRef) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=decision.promote or decision.equal,
            severity=dg.AssetCheckSeverity.WARN,
            description=decision.reason,
        )

    return not_worse
