"""Facts for a model card about a version's origin: data, columns, code and runs, and how to load it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from aiops_assets.families.contract import Family
from aiops_assets.reporting.cards.markdown import code, text
from aiops_assets.storage.records import (
    EvaluationRecord,
    FewerNodes,
    KnownMetric,
    Manifest,
    SourceReport,
    TrainingSetRecord,
)

MAX_WORKLOADS = 10


def data_facts(
    manifest: Manifest, record: TrainingSetRecord | None, about_rows: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The rows that the version was fitted on; ``record`` is ``None`` if the training set was removed."""
    source = manifest.source
    facts = [
        ("view", code(manifest.view)),
        ("cluster", " ".join(map(code, (manifest.cluster, *manifest.cluster_ids)))),
        ("window", f"{_time(manifest.window_start)} to {_time(manifest.window_end)}"),
        ("effective source", code(manifest.effective_source)),
        ("requested source", code(source.asked or "-")),
        *((f"rows from {text(name)}", f"{count:,}") for name, count in source.rows.items()),
        *((what, text(said)) for what, said in _source_notes(manifest.source)),
        ("data version", code(manifest.data_version)),
        ("digest of its record", code(manifest.training_set_sha256)),
    ]
    if record is None:
        return facts
    return [
        *facts,
        *about_rows,
        *([("workloads of its pods", _workloads(record))] if record.workloads else []),
        ("days", f"{len(record.days)}, {record.days[0].day} to {record.days[-1].day}" if record.days else "0"),
        ("queries", str(len(record.queries))),
    ]


def _workloads(record: TrainingSetRecord) -> str:
    found = sorted(set(record.workloads.values()))
    more = f" and {len(found) - MAX_WORKLOADS} more" if len(found) > MAX_WORKLOADS else ""
    return " ".join(map(code, found[:MAX_WORKLOADS])) + more


def queries(record: TrainingSetRecord | None) -> list[list[str]]:
    """Each metric with its query."""
    return [[code(name), code(query)] for name, query in record.queries.items()] if record else []


def _source_notes(source: SourceReport) -> list[tuple[str, str]]:
    known = [
        ("note", source.note or None),
        ("age of the cached days", None if source.cached_age_seconds is None else f"{source.cached_age_seconds:,} s"),
        ("coverage", None if source.coverage is None else f"{source.coverage:.1%}"),
        *((f"coverage of {text(name)}", f"{share:.1%}") for name, share in source.coverage_by_metric.items()),
        ("full days", None if source.full_days is None else f"{source.full_days} of {source.window_days}"),
        ("lost to gaps", None if source.missing_share is None else f"{source.missing_share:.1%}"),
        *((f"rows that know {text(name)}", _known(one)) for name, one in source.known.items()),
        *((f"nodes behind {text(name)}", _nodes(one)) for name, one in source.nodes.items()),
        *(("warning", warning) for warning in source.warnings),
    ]
    return [(what, said) for what, said in known if said is not None]


def _known(one: KnownMetric) -> str:
    parts = [f"{one.share:.1%} of {one.rows:,}"]
    if one.lacking:
        parts.append(f"{one.lacking} of {one.pods} drawn pods lack it")
    if one.window_lacking:
        parts.append(f"{one.window_lacking} of {one.window_pods} pods of the window lack it")
    if one.names:
        parts.append(f"among them {', '.join(one.names)}")
    return "; ".join(parts)


def _nodes(one: FewerNodes) -> str:
    which = f": {' '.join(map(code, one.names))}" if one.names else ""
    return f"{one.least} to {one.most}; fewer than {one.most} for {one.hours:.1f} h, {one.share:.0%} of the time{which}"


def columns(manifest: Manifest) -> list[list[str]]:
    """Each column with its position and unit, in order."""
    return [[str(place), code(name), _unit(name, manifest.units)] for place, name in enumerate(manifest.features)]


def making_facts(manifest: Manifest, evaluation: EvaluationRecord | None) -> list[tuple[str, str]]:
    """Code, runs, parameters and packages."""
    facts = [
        ("created", _time(manifest.created)),
        ("code", code(manifest.code_version)),
        ("fingerprint of data, code and configuration", code(manifest.fingerprint)),
        ("MLflow run", f"{code(manifest.run_id)} {code(manifest.run_url)}"),
        ("Dagster run of the fit", code(manifest.dagster_run_id)),
    ]
    if evaluation:
        facts += [
            ("Dagster run of the evaluation", code(evaluation.dagster_run_id)),
            (
                "data of the evaluation",
                f"{code(evaluation.data_version)}, effective source {code(evaluation.effective_source)}",
            ),
        ]
    facts += [(f"parameter {code(name)}", code(value)) for name, value in manifest.parameters.items()]
    facts += [(f"package {code(name)}", code(version)) for name, version in manifest.packages.items()]
    return facts


def folder_to_load_from(directory: str) -> str:
    """The folder that the lines for loading name; from a bucket, they load a local copy."""
    return "local-copy" if "://" in directory else directory


def loading_lines(family: Family[Any, Any], manifest: Manifest) -> list[str]:
    """Lines of Python that load the verified files of a version."""
    lines: list[str] = []
    for name in manifest.files:
        lines += (
            [line.replace(f'"{family.model_file}"', f'"{name}"') for line in family.loading]
            if name in (family.model_file, *family.older_files)
            else [f"# {name!r}: see aiops_assets.registry.version.version_of"]
        )
    return lines


def _unit(feature: str, units: Mapping[str, str]) -> str:
    """The unit of the metric with whose name a column begins."""
    metric = max((name for name in units if feature.startswith(name)), key=len, default="")
    return text(units[metric]) if metric else "-"


def _time(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC" if time else "not known"
