"""Commands about which version is served: `aiops promote`, `aiops rollback`, `aiops models`, `aiops doctor`."""

import getpass
import json
import os
import socket
import sys
import textwrap
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.commands.tables import show_table
from aiops_assets.errors import NotFoundError
from aiops_assets.settings import load_settings
from aiops_assets.timeseries.catalog import with_members

if TYPE_CHECKING:
    from aiops_assets.registry.listing import VersionLine
    from aiops_assets.storage.records import ChampionRecord
    from aiops_assets.storage.served import ServedModels

FIGURES = {
    "average_precision": ("AVG PRECISION", "{:.3f}"),
    "f1": ("F1", "{:.2f}"),
    "event_f1": ("EVENT F1", "{:.2f}"),
    "false_alarm_rate": ("FALSE ALARMS", "{:.1%}"),
    "mae_to_seasonal_naive_1h": ("TO SEASONAL 1H", "{:.2f}"),
    "mae_to_seasonal_naive_6h": ("6H", "{:.2f}"),
    "mae_to_seasonal_naive_24h": ("24H", "{:.2f}"),
    "coverage_24h": ("INSIDE 80 %", "{:.0%}"),
}
"""Figures of the table -> (heading, format); `--json` has all figures.

Figures of forecasters are ratios of errors to those of the seasonal naive, where below 1 is better.
"""
RANKED_BY = ("average_precision", *(name for name in FIGURES if name.startswith("mae_to_")))
"""Figures that are also shown for the opponent."""
MAX_NOTE_CHARACTERS = 160


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--reason", default="promoted by hand", show_default=True, help="For the champion record.")
@one_line_errors
def promote(name: str, version: int, reason: str) -> None:
    """Serve VERSION of model NAME, and lift a veto on it.

    It is verified, loaded and given a smoke inference before anything changes.
    """
    from aiops_assets.pipeline.resources import stores_of, tracking_of
    from aiops_assets.registry import champions
    from aiops_assets.registry.restoring import record_problem

    table = load_settings(os.environ)
    served, tracker, spec = stores_of(table).served(), tracking_of(table).tracker(), champions.model_named(name)
    name = spec.name
    before = None if record_problem(served, tracker, name) else served.champion(name)
    after = champions.promote(served, tracker, spec, version, reason=reason, who=person())
    if not _already(before, after):
        was = f" (was version {before.champion.version})" if before else ""
        click.echo(f"{name}: version {version} is served{was}: {served.locate(name, version)}")


@click.command()
@click.argument("name")
@click.option("--to", type=click.IntRange(min=1), metavar="VERSION", help="Default: the newest earlier champion.")
@click.option("--reason", default="rolled back by hand", show_default=True, help="For the record and the veto.")
@one_line_errors
def rollback(name: str, to: int | None, reason: str) -> None:
    """Serve an earlier version of model NAME again, and veto the one that it replaces: no run serves that by itself."""
    from aiops_assets.pipeline.resources import stores_of, tracking_of
    from aiops_assets.registry import champions
    from aiops_assets.registry.restoring import read_problem

    table = load_settings(os.environ)
    served, tracker, spec = stores_of(table).served(), tracking_of(table).tracker(), champions.model_named(name)
    name = spec.name
    before = None if read_problem(served, name) else served.unsigned_champion(name)
    after = champions.rollback(served, tracker, spec, to, reason=reason, who=person())
    if not _already(before, after):
        version, left = after.champion.version, after.history[0].version
        click.echo(f"{name}: version {version} is served again: {served.locate(name, version)}")
        click.echo(f"version {left} is vetoed: no run serves it by itself; `aiops promote {name} {left}` lifts that")


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object alone on stdout.")
@one_line_errors
def models(name: str | None, as_json: bool) -> None:
    """List the versions of model NAME, or of all: which is served, which are vetoed, how good and how old they are.

    Exit code 1 if a champion record cannot be read or is wrong, so that it is not known which version is served.
    """
    from aiops_assets.families.catalog import named
    from aiops_assets.pipeline.resources import stores_of, tracking_of
    from aiops_assets.registry.listing import names_served, version_lines
    from aiops_assets.registry.restoring import record_problem, with_cure

    table = load_settings(os.environ)
    served, tracker = stores_of(table).served(), tracking_of(table).tracker()
    name = named(name) if name else None
    names = names_served(served)
    if name and name not in names:
        there = f"there are {', '.join(names)}" if names else "run `aiops run` first"
        raise NotFoundError(f"{name} has no version in {served.locate(name)}: {there}", code="no_version", there=names)
    names = [found for found in names if name in (None, found)]
    problems = {found: problem for found in names if (problem := record_problem(served, tracker, found))}
    listed = {found: version_lines(served, found, is_marked=found not in problems) for found in names}
    if as_json:
        dumped = {model: [line.model_dump(mode="json") for line in lines] for model, lines in listed.items()}
        click.echo(json.dumps(dumped, indent=2))
    else:
        _show(served, listed)
    for model, problem in problems.items():
        click.echo(f"warning: {model}: which version is served is not known: {with_cure(problem)}", err=True)
    if problems:
        sys.exit(1)


def _show(served: "ServedModels", listed: "dict[str, list[VersionLine]]") -> None:
    """Print a table and notes for each model."""
    if not listed:
        click.echo(f"no model in {served.storage.url} yet: `aiops run` trains them")
    for model, lines in listed.items():
        click.echo(f"{model}  {served.locate(model)}")
        head, *rows = table_of(lines, datetime.now(UTC))
        show_table(head, rows, indent=2)
        for line in lines:
            if line.note:
                note = textwrap.shorten(line.note, MAX_NOTE_CHARACTERS, placeholder=" ...")
                click.echo(f"  version {line.version}: {line.state} {note}")


@click.command()
@click.option("--dry-run", is_flag=True, help="Change nothing; exit code 1 if something would be repaired.")
@one_line_errors
def doctor(dry_run: bool) -> None:
    """Check what is served and what is stored, and repair what needs no decision; exit code 1 if a problem is left."""
    from aiops_assets.datasets.selection import active_models
    from aiops_assets.pipeline.resources import stores_of, tracking_of
    from aiops_assets.registry.doctor import Doctor
    from aiops_assets.registry.lake_care import lake_findings

    table = load_settings(os.environ)
    stores = stores_of(table)
    looking = Doctor(
        stores.served(),
        stores.training_sets(),
        tracking_of(table).tracker(),
        who=f"{person()} (doctor)",
        repair=not dry_run,
    )
    left = 0
    of_lake = lake_findings(stores.lake(), with_members(table.metrics))
    for finding in chain(looking.examine(active_models(table)), of_lake):
        left += finding.is_left
        about = f"{finding.model} {finding.what}".removeprefix("- ")
        click.echo(f"{finding.state:10s}{about}: {finding.text}")
    if left:
        click.echo(f"{left} left" + ("; nothing was changed" if dry_run else ""), err=True)
        sys.exit(1)


def person() -> str:
    """user@host for records. In a container, the user may be a number without a name."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def table_of(lines: "list[VersionLine]", now: datetime) -> list[list[str]]:
    """Headings, then a row a version; figures that no version has are left out."""
    shown = [name for name in FIGURES if any(name in line.figures for line in lines)]
    head = ["VERSION", "STATE", "AGE", "SOURCE", "DATA", *(FIGURES[name][0] for name in shown), "DECISION", "AGAINST"]
    rows = [
        [
            str(line.version),
            line.state or "-",
            age(now, line.created) if line.created else "-",
            line.effective_source or "-",
            line.data_version[:12] or "-",
            *(FIGURES[name][1].format(line.figures[name]) if name in line.figures else "-" for name in shown),
            line.decision or "-",
            _against(line),
        ]
        for line in lines
    ]
    return [head, *rows]


def _against(line: "VersionLine") -> str:
    """The opponent of a version, with its figures on the same rows."""
    from aiops_assets.judging.forecasting.holdout import TRIVIAL_NAMES

    theirs = {} if line.opponent == TRIVIAL_NAMES else line.opponent_figures
    shown = [FIGURES[name][1].format(theirs[name]) for name in RANKED_BY if name in theirs]
    return f"{line.opponent}: {' '.join(shown)}" if shown else line.opponent or "-"


def age(now: datetime, then: datetime) -> str:
    """Age in the largest unit that fits, as text."""
    seconds = max((now - then).total_seconds(), 0.0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _already(before: "ChampionRecord | None", after: "ChampionRecord") -> bool:
    """Whether the champion did not move; if so, print that."""
    move = after.champion
    if before is None or before.champion != move:
        return False
    since = f"since {move.when:%Y-%m-%d %H:%M} UTC by {move.who}"
    click.echo(f"{after.name}: version {move.version} is the champion already, {since}")
    return True
