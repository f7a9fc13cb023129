"""Commands about fetched days: `aiops lake list`, `drop`, `prune` and `confirm`."""

import os
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

from aiops_assets.commands.champions import person
from aiops_assets.commands.errors import one_line_errors
from aiops_assets.commands.tables import show_table
from aiops_assets.errors import SettingsError
from aiops_assets.settings import load_settings
from aiops_assets.timeseries.catalog import with_members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiops_assets.registry.lake_care import Drop


@click.group()
def lake() -> None:
    """The fetched days: what is stored, taking something out, confirming a rebuilt cluster."""


@lake.command(name="list")
@one_line_errors
def listing() -> None:
    """List the stored days of each metric, those that lack series, and the cluster they are of."""
    from aiops_assets.pipeline.resources import stores_of
    from aiops_assets.registry.lake_care import contents

    table = load_settings(os.environ)
    rows = [
        (
            stored.metric.name,
            str(len(stored.days)),
            f"{stored.days[0]} to {stored.days[-1]}",
            str(len(stored.incomplete)),
            str(len(stored.damaged)),
            " ".join(stored.cluster_ids) or "-",
        )
        for stored in contents(stores_of(table).lake(), with_members(table.metrics))
        if stored.days
    ]
    if not rows:
        click.echo("no day was fetched yet: `aiops run` with PROMETHEUS_URL and DATA_SOURCE=prometheus")
        return
    show_table(("METRIC", "DAYS", "FROM AND TO", "INCOMPLETE", "DAMAGED", "CLUSTER"), rows)


@lake.command()
@click.option("--metric", "names", multiple=True, help="Name of a metric; may be repeated. Default: all.")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First UTC day.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last UTC day, inclusive.")
@click.option("--series", "labels", multiple=True, metavar="LABEL=VALUE", help="Only series with this label.")
@click.option("--wrong", is_flag=True, help="Only series that a fetch would not store today.")
@click.option("--cluster-id", help="Only days of this cluster (`aiops lake list`); '' is an earlier release's.")
@click.option("--yes", is_flag=True, help="Remove it; without this, only list what would be removed.")
@one_line_errors
def drop(
    names: tuple[str, ...],
    first: datetime | None,
    last: datetime | None,
    labels: tuple[str, ...],
    wrong: bool,
    cluster_id: str | None,
    yes: bool,
) -> None:
    """Take days or series out of the lake; the next fetch requests anew what the server has of them.

    Something must be selected. Models that were trained on it are listed: `aiops lineage` reports their days as
    revised or missing afterwards.
    """
    from aiops_assets.datasets.selection import active_models
    from aiops_assets.pipeline.resources import stores_of
    from aiops_assets.registry.lake_care import Selection, dependents, select, take_out

    if not (names or first or last or labels or wrong or cluster_id is not None):
        raise SettingsError(
            "nothing is selected: give --metric, --from, --to, --series, --wrong or --cluster-id", code="no_selection"
        )
    table = load_settings(os.environ)
    stores = stores_of(table)
    known = with_members(table.metrics)
    if unknown := sorted(set(names) - {metric.name for metric in known}):
        raise SettingsError(f"no metric {', '.join(unknown)}: `aiops metrics` lists them", code="unknown_metric")
    selection = Selection(_day(first), _day(last), _pairs(labels), wrong, cluster_id)
    metrics = [metric for metric in known if not names or metric.name in names]
    drops = list(select(stores.lake(), metrics, selection))
    if not drops:
        click.echo("nothing stored is selected")
        return
    show_table(("METRIC", "DAY", "SERIES"), _rows(drops))
    models = [spec.name for spec in active_models(table)]
    for one in dependents(drops, stores.served(), stores.training_sets(), models):
        click.echo(f"trained on it: {one}")
    if not yes:
        click.echo("nothing was changed: add --yes to remove it", err=True)
        sys.exit(1)
    take_out(stores.lake(), drops)
    click.echo(f"removed from {len(drops)} day files")


@lake.command()
@click.option("--yes", is_flag=True, help="Remove them; without this, only list what would be removed.")
@one_line_errors
def prune(yes: bool) -> None:
    """Remove days that are older than KEEP_LAKE_DAYS and that no version needs; each fetch does the same.

    Days that a kept version was trained on, or that the longest window needs, always stay.
    """
    from aiops_assets.pipeline.resources import stores_of
    from aiops_assets.registry import retention

    table = load_settings(os.environ)
    if table.keep_lake_days is None:
        raise SettingsError("KEEP_LAKE_DAYS is not set: all days are kept", code="keeps_all_days")
    stores = stores_of(table)
    lake = stores.lake()
    found = retention.expired(lake, stores.served(), stores.training_sets(), table, datetime.now(UTC).date())
    days: dict[tuple[str, str], list[date]] = {}
    for stored in found.removable:
        days.setdefault((stored.metric, stored.query), []).append(stored.day)
    if days:
        rows = [(*key, str(len(of)), f"{min(of)} to {max(of)}") for key, of in sorted(days.items())]
        show_table(("METRIC", "QUERY", "DAYS", "FROM AND TO"), rows)
    if found.needed:
        click.echo(f"{found.needed} day files from before {found.before} stay: versions were trained on them")
    if not days:
        click.echo("nothing to remove")
        return
    if not yes:
        click.echo("nothing was changed: add --yes to remove them", err=True)
        sys.exit(1)
    retention.prune(lake, found)
    click.echo(f"removed {len(found.removable)} day files")


@lake.command()
@one_line_errors
def confirm() -> None:
    """Confirm that the cluster behind PROMETHEUS_URL is the one that CLUSTER names, after it was rebuilt."""
    from aiops_assets.datasets import identity
    from aiops_assets.pipeline.resources import prometheus_of, stores_of

    table = load_settings(os.environ)
    prometheus = prometheus_of(table)
    with prometheus.clients() as (client, _):
        client.probe()
        seen = identity.confirm(client, stores_of(table).lake(), prometheus.server, datetime.now(UTC), person())
    click.echo(f"CLUSTER={table.cluster} is {seen.id} from now on: {prometheus.server}, {len(seen.nodes)} nodes")


def _day(time: datetime | None) -> date | None:
    return time.date() if time else None


def _pairs(labels: tuple[str, ...]) -> dict[str, str]:
    pairs = {name: value for name, _, value in (label.partition("=") for label in labels)}
    if wrong := [name for name, value in pairs.items() if not name or not value]:
        raise SettingsError(f"--series {wrong[0]}: must be LABEL=VALUE, such as pod=web-1", code="no_label")
    return pairs


def _rows(drops: "Sequence[Drop]") -> list[tuple[str, str, str]]:
    def series(drop: "Drop") -> str:
        first = min(drop.names, default="")
        more = f" and {len(drop.names) - 1} more" if len(drop.names) > 1 else ""
        return f"{first}{more}" if drop.names else "all"

    return [(drop.metric.name, drop.day.isoformat(), series(drop)) for drop in drops]
