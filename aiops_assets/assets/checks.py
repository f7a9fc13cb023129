"""Asset checks. Blocking ones are for broken data or a broken model only; the rest warn."""

from collections.abc import Iterable

import dagster as dg

from aiops_assets.assets.evaluation import evaluation_key
from aiops_assets.assets.trained import model_key
from aiops_assets.assets.training_sets import POD_FEATURES_KEY
from aiops_assets.errors import SchemaError, StoreError
from aiops_assets.models import isolation_forest
from aiops_assets.models.catalog import ANOMALY_DETECTOR, ModelSpec
from aiops_assets.models.evaluation import smoke_problems
from aiops_assets.resources import StoresResource
from aiops_assets.settings import Settings
from aiops_assets.stores.handoff import DecisionRef, TrainingSetRef, VersionRef
from aiops_assets.stores.records import SourceReport
from aiops_assets.stores.served import MODEL_FILE
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.drift import NOTABLE_PSI, drifted
from aiops_assets.timeseries.quality import FULL_DAY, too_little
from aiops_assets.timeseries.training_rows import out_of_bounds, validate

NOTABLE_MISSING = 0.1
MOST_OUT_OF_BOUNDS = 0.01
"""Share of rows: single readings are off in every cluster, a hundredth of them is a wrong unit."""


@dg.multi_asset_check(
    name="pod_features_checks",
    specs=[
        dg.AssetCheckSpec("schema", asset=POD_FEATURES_KEY, blocking=True, description="Columns, order, splits."),
        dg.AssetCheckSpec(
            "bounds", asset=POD_FEATURES_KEY, blocking=True, description="Values within the catalogue's."
        ),
        dg.AssetCheckSpec("label_rate", asset=POD_FEATURES_KEY, blocking=True, description="The asked share, exactly."),
        dg.AssetCheckSpec(
            "window_coverage",
            asset=POD_FEATURES_KEY,
            blocking=True,
            description="Enough of the window is there: below MIN_COVERAGE or 3 full days training stops, below 90 % "
            "it warns.",
        ),
        dg.AssetCheckSpec("missing_share", asset=POD_FEATURES_KEY, description="Rows that gaps in the metrics cost."),
        dg.AssetCheckSpec("effective_source", asset=POD_FEATURES_KEY, description="Warns when a fallback stands in."),
        dg.AssetCheckSpec("drift", asset=POD_FEATURES_KEY, description="Against the champion's training set."),
    ],
    ins={"training_set": dg.AssetIn(key=POD_FEATURES_KEY)},
)
def pod_features_checks(
    training_set: TrainingSetRef, settings: dg.ResourceParam[Settings], stores: StoresResource
) -> Iterable[dg.AssetCheckResult]:
    """All checks of a training set, in one reading of it."""
    sets = stores.training_sets()
    rows = sets.rows(training_set.view, training_set.data_version)
    record = sets.record(training_set.view, training_set.data_version)

    def result(name: str, problem: str, *, warn: bool = False, **metadata: float | None) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            asset_key=POD_FEATURES_KEY,
            check_name=name,
            passed=not problem,
            severity=dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR,
            description=problem or None,
            metadata={key: value for key, value in metadata.items() if value is not None},
        )

    try:
        validate(rows)
        yield result("schema", "")
    except SchemaError as error:
        yield result("schema", str(error))

    outside = out_of_bounds(rows)
    share = max(outside.values(), default=0) / len(rows)
    problem = f"{share:.1%} of rows outside the bounds: {outside}; is a unit wrong?"
    yield result("bounds", problem if share > MOST_OUT_OF_BOUNDS else "", rows_outside=sum(outside.values()))

    # Each side of the hold-out of each source is rounded to whole rows.
    asked, found = record.anomaly_rate, float(rows["label"].mean())
    wrong = abs(found - asked) * len(rows) > rows["source"].nunique()
    problem = f"{found:.4f} of the rows are anomalous, asked for were {asked:.4f}"
    yield result("label_rate", problem if wrong else "", label_rate=found, asked=asked)

    source = training_set.source
    stop, note = _coverage_problem(source, settings.min_coverage)
    yield result("window_coverage", stop or note, warn=not stop, coverage=source.coverage, full_days=source.full_days)
    missing = source.missing_share or 0.0
    problem = f"gaps in the metrics cost {missing:.1%} of the rows" if missing > NOTABLE_MISSING else ""
    yield result("missing_share", problem, warn=True, missing_share=missing)
    yield result("effective_source", source.note, warn=True)

    moved = _moved_since_champion(training_set, stores)
    names = ", ".join(f"{name} (PSI {index:.2f})" for name, index in sorted(moved.items()))
    problem = f"moved by more than PSI {NOTABLE_PSI}: {names}" if moved else ""
    yield result("drift", problem, warn=True, columns_moved=len(moved))


def _coverage_problem(source: SourceReport, least: float) -> tuple[str, str]:
    """Why training stops, and else what to know; both empty for a full window and for generated rows."""
    if source.coverage is None:
        return "", ""
    stop = too_little(source.coverage, source.full_days or 0, source.window_days or 0, least)
    if silent := [name for name, share in source.coverage_by_metric.items() if not share]:
        return f"no sample in the whole window of {', '.join(silent)}: is its exporter scraped, has a pod a limit?", ""
    lowest = min(source.coverage_by_metric, key=lambda name: source.coverage_by_metric[name])
    note = f"{source.coverage:.0%} of the window is there (least: {lowest})" if source.coverage < FULL_DAY else ""
    return stop and f"{stop} (least: {lowest})", note


def _moved_since_champion(training_set: TrainingSetRef, stores: StoresResource) -> dict[str, float]:
    sets, served = stores.training_sets(), stores.served()
    try:
        champion = served.champion(ANOMALY_DETECTOR.name)
        if champion is None or champion.champion.data_version == training_set.data_version:
            return {}
        before = sets.rows(training_set.view, champion.champion.data_version)
    except StoreError:
        # A damaged or missing past is the evaluation's and the lineage's to name; there is nothing to compare.
        return {}
    now = sets.rows(training_set.view, training_set.data_version)
    return drifted(before, now, [f"{metric.name}_value" for metric in ENGINE_METRICS])


def smoke_check(spec: ModelSpec) -> dg.AssetChecksDefinition:
    """A model that is asked once before anybody judges or serves it."""

    @dg.asset_check(
        name="smoke_prediction",
        asset=model_key(spec),
        blocking=True,
        description="The stored file is read back, verified and asked: the default vector must not raise an alarm.",
    )
    def smoke(model: VersionRef, stores: StoresResource) -> dg.AssetCheckResult:
        data = stores.served().load_file(spec.name, model.version, MODEL_FILE, model.manifest_sha256)
        problems = smoke_problems(isolation_forest.from_bytes(data))
        return dg.AssetCheckResult(passed=not problems, description="; ".join(problems) or None)

    return smoke


def not_worse_check(spec: ModelSpec) -> dg.AssetChecksDefinition:
    """A challenger that is kept out is a normal week: a warning, never a failed run."""

    @dg.asset_check(
        name="not_worse_than_champion",
        asset=evaluation_key(spec),
        description="Warns when the new version is not the one that is served.",
    )
    def not_worse(decision: DecisionRef) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=decision.promote or decision.equal,
            severity=dg.AssetCheckSeverity.WARN,
            description=decision.reason,
        )

    return not_worse
