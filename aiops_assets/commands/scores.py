"""`aiops scores`: why there is an alert, from the newest stored run of scores."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.commands.tables import show_table
from aiops_assets.settings import load_settings
from aiops_assets.timeseries.pod_identity import split_pod

if TYPE_CHECKING:
    from aiops_assets.registry.explanation import Explanation, MetricNow, ModelScore, Raised, Subject
    from aiops_assets.registry.findings import Findings
    from aiops_assets.registry.metric_findings import MetricExplanation
    from aiops_assets.registry.own_findings import OwnAlert

OF_METRICS = ("METRIC", "UNIT", "VALUE", "EXPECTED", "LOWER", "UPPER", "OUTSIDE", "OUTSIDE SINCE", "SHARE")
OF_OWN = ("METRIC OF YOURS", "SERIES", "SEVERITY", "UNIT", "VALUE", "EXPECTED", "LOWER", "UPPER", "SINCE")
OF_EPISODES = ("RAISED BY", "OF", "NAME", "WORKLOAD", "METRIC", "SINCE", "UNTIL", "NOW")


@click.command()
@click.option("--pod", metavar="NAMESPACE/NAME", help="Why there is an alert on this pod.")
@click.option("--node", metavar="NAME", help="Why there is an alert on this node.")
@click.option("--metric", metavar="NAME", help="What the run knows of this metric: values, bands, forecasts.")
@click.option("--now", is_flag=True, help="List what is raised at this moment; without, of the newest day.")
@click.option("--picture", type=click.Path(path_type=Path), help="PNG to write, of a pod, a node or a metric.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Most lines of a list.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object alone on stdout, as the service answers.")
@one_line_errors
def scores(
    pod: str | None, node: str | None, metric: str | None, now: bool, picture: Path | None, limit: int, as_json: bool
) -> None:
    """Why there is an alert: metric, expected value and band, since when, and which models say so.

    Reads the newest stored run of scores (the asset `scores`, every SCORE_MINUTES) and nothing else. Without --pod,
    --node and --metric it lists pages and notices, pages first, and what metrics of METRICS_FILE raise and what is
    silent at this moment. Times are UTC.
    """
    from aiops_assets.registry.findings import newest_findings
    from aiops_assets.storage.scores import Scores
    from aiops_assets.storage.storage import open_storage

    chosen = [one for one in (pod, node, metric) if one]
    if len(chosen) > 1:
        raise click.UsageError("--pod, --node and --metric exclude each other")
    if picture and not chosen:
        raise click.UsageError("--picture needs --pod, --node or --metric")
    if now and chosen:
        raise click.UsageError("--now is of the list: leave out --pod, --node and --metric")
    settings = load_settings(os.environ)
    findings = newest_findings(Scores(open_storage(settings.aiops_home), settings.cluster), datetime.now(UTC))
    if metric:
        _metric(findings, metric, picture, as_json)
    elif pod or node:
        namespace, name = split_pod(pod or "")
        found = findings.of_pod(name, namespace) if pod else findings.of_node(node or "")
        _subject(findings, found, picture, as_json)
    else:
        _list(findings, now, limit, as_json)


def _list(findings: "Findings", now: bool, limit: int, as_json: bool) -> None:
    from aiops_assets.registry.own_findings import own_alerts, silent
    from aiops_assets.storage.explanations import PAGE

    own, quiet = own_alerts(findings), silent(findings)
    found = [(subject, one) for subject, raised in findings.raised.items() for one in raised if one.now or not now]
    found.sort(key=lambda one: (one[1].by != PAGE, not one[1].now, -one[1].until.timestamp(), one[0].name))
    if as_json:
        raised = [{**asdict(subject), **asdict(one)} for subject, one in found[:limit]]
        more: dict[str, list[Any]] = {"metrics": own, "silent": quiet}
        lists = {name: [asdict(one) for one in items[:limit]] for name, items in more.items()}
        not_scored = findings.record.metrics_not_scored
        _print_json({**findings.about, "total": len(found), "raised": raised, **lists, "not_scored": not_scored})
        return
    click.echo(f"{findings.record.pods} pods scored until {_when(findings.until)} UTC, from {findings.record.source}")
    for note in findings.notes.values():
        click.echo(f"note: {note}")
    for metric, why in findings.record.metrics_not_scored.items():
        click.echo(f"not scored: {metric}: {why}")
    if not (found or own or quiet):
        click.echo("no page, no notice and nothing silent" + (" at this moment" if now else " within a day"))
    rows = [(who, _raised_cells(one)) for who, one in found[:limit]]
    if rows:
        show_table(OF_EPISODES, ((by, who.kind, who.name, who.workload or "-", *rest) for who, (by, *rest) in rows))
    if len(found) > limit:
        click.echo(f"and {len(found) - limit} more: --limit {len(found)}")
    if own:
        click.echo("")
        show_table(OF_OWN, (_own_cells(one) for one in own[:limit]))
    if quiet:
        click.echo("")
        show_table(
            ("SILENT", "METRIC", "WHAT", "SEVERITY", "LAST HEARD OF"),
            (
                (one.reason, one.metric or "-", one.entity or "all", one.severity, _when(one.since))
                for one in quiet[:limit]
            ),
        )


def _subject(findings: "Findings", found: "Explanation", picture: Path | None, as_json: bool) -> None:
    from aiops_assets.reporting.explained_pictures import picture_of

    written = _write(picture, lambda: picture_of(findings, found))
    if as_json:
        _print_json({**asdict(found), **written})
        return
    who, since = _who(found.subject), f" since {_when(found.since)} UTC" if found.since else ""
    by = f", by {found.metric}" if found.metric else ""
    click.echo(f"{found.state}: {who}{since}{by}")
    click.echo(f"scores until {_when(found.until)} UTC, from {found.source}\n")
    show_table(OF_METRICS, map(_metric_cells, found.metrics))
    if found.raised:
        click.echo("")
        show_table(("RAISED BY", "METRIC", "SINCE", "UNTIL", "NOW"), map(_raised_cells, found.raised))
    if found.scores:
        click.echo("")
        show_table(("MODEL", "VERSION", "AT", "SCORE", "ALERT"), map(_score_cells, found.scores))
    _end(found.notes.values(), found.links, written)


def _metric(findings: "Findings", metric: str, picture: Path | None, as_json: bool) -> None:
    from aiops_assets.registry.metric_findings import explain_metric
    from aiops_assets.reporting.explained_pictures import picture_of_metric

    found = explain_metric(findings, metric)
    written = _write(picture, lambda: picture_of_metric(findings, found))
    if as_json:
        _print_json({**asdict(found), **written})
        return
    click.echo(f"{found.metric} ({found.unit or 'no unit'}) of {found.cluster}")
    click.echo(f"scores until {_when(found.until)} UTC, from {found.source}\n")
    rows = [("the cluster", "-", *_metric_cells(found.now)[2:-1])] if found.now else []
    rows += [(one.subject.name, one.state, *_metric_cells(one.now)[2:-1]) for one in found.subjects]
    rows += [
        (one.entity or "all", one.silent or ("alert" if one.alert else "calm"), *_metric_cells(one.now)[2:-1])
        for one in found.entities
    ]
    if rows:
        show_table(("OF", "STATE", *OF_METRICS[2:-1]), rows)
    if found.forecasts:
        click.echo("")
        show_table(("FORECASTER", "FOR", "VALUE", "LOWER", "UPPER", "ABOVE 90 % AT"), _forecast_rows(found))
    _end(found.notes.values(), found.links, written)


def _forecast_rows(found: "MetricExplanation") -> Iterable[Sequence[str]]:
    for one in found.forecasts:
        for name, step in (("1 h", _ahead(one.steps, 1)), ("24 h", one.steps[-1])):
            proven = "proven" if name.replace(" ", "") in one.proven else "not proven"
            breach = _when(one.breach_at) if one.breach_at else "-"
            yield (
                one.model,
                f"{name}, {proven}",
                *(f"{side:.4g}" for side in (step.value, step.lower, step.upper)),
                breach,
            )


def _ahead(steps: Sequence[Any], hours: float) -> Any:
    begin = steps[0].timestamp.timestamp() - 300
    return min(steps, key=lambda one: abs(one.timestamp.timestamp() - begin - hours * 3600))


def _write(picture: Path | None, draw: Any) -> dict[str, str]:
    if picture is None:
        return {}
    from aiops_assets.commands.files import write_whole

    write_whole(picture, draw())
    return {"file": str(picture)}


def _end(notes: Iterable[str], links: dict[str, str], written: dict[str, str]) -> None:
    click.echo("")
    for note in notes:
        click.echo(f"note: {note}")
    for name, link in links.items():
        if name != "command":
            click.echo(f"{name.ljust(9)}  {link}")
    if written:
        click.echo(f"written    {written['file']}")


def _metric_cells(one: "MetricNow") -> tuple[str, ...]:
    sides = ("-" if side is None else f"{side:.4g}" for side in (one.value, one.expected, one.lower, one.upper))
    since = _when(one.outside_since) if one.outside_since else "-"
    return (
        one.metric,
        one.unit or "-",
        *sides,
        one.outside or "-",
        since,
        f"{one.contribution:.2f}" if one.contribution else "-",
    )


def _raised_cells(one: "Raised") -> tuple[str, ...]:
    return one.by, one.metric or "-", _when(one.since), _when(one.until), "yes" if one.now else "no"


def _own_cells(one: "OwnAlert") -> tuple[str, ...]:
    metric, unit, *sides = _metric_cells(one.now)[:-3]
    return metric, one.entity or "all", one.severity, unit, *sides, _when(one.since)


def _score_cells(one: "ModelScore") -> tuple[str, ...]:
    return one.model, str(one.version), _when(one.timestamp), f"{one.score:.4g}", "yes" if one.alert else "no"


def _who(subject: "Subject") -> str:
    return f"{subject.kind} {subject.name}" + (f" (workload {subject.workload})" if subject.workload else "")


def _when(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}" if time else "-"


def _print_json(content: dict[str, Any]) -> None:
    click.echo(json.dumps(content, indent=2, allow_nan=False, default=lambda one: one.isoformat()))
