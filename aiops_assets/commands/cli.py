"""The command `aiops`. Each command prints what it did, or one line why it failed."""

import json
import os
import signal
import sys
from importlib.util import find_spec

import click

from aiops_assets import __version__
from aiops_assets.commands import cards, champions, lake, metrics, outlook, quality, scores, serve, signing, synthesize
from aiops_assets.commands.errors import one_line_errors
from aiops_assets.commands.tables import show_table
from aiops_assets.errors import IntegrityError, SettingsError
from aiops_assets.settings import Settings, allowed, load_settings, origin, shown


@click.group()
@click.version_option(__version__)
def main() -> None:
    """Models that learn from your cluster's metrics: train them, serve them, and trace them to their data."""


@main.command()
@one_line_errors
def settings() -> None:
    """Print every setting: its value, where that comes from, and what it means."""
    table = load_settings(os.environ)
    rows = []
    for name, field in Settings.model_fields.items():
        hint = f" ({allowed(name)})" if allowed(name) else ""
        value = shown(getattr(table, name)) or "-"
        rows.append((name.upper(), value, origin(name, os.environ), f"{field.description}{hint}"))
    show_table(("SETTING", "VALUE", "FROM", "MEANING"), rows)


@main.command()
@one_line_errors
def run() -> None:
    """Materialize the whole chain: metrics, training set, model, evaluation, served directory."""
    from aiops_assets.commands.running import materialize_all

    materialize_all(load_settings(os.environ))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3000, show_default=True)
@one_line_errors
def ui(host: str, port: int) -> None:
    """Open the Dagster UI with the history of your runs."""
    from aiops_assets.commands.running import LOCATION, dagster_environment, executable, location_arguments
    from aiops_assets.pipeline.run_history import claim_runs_of, close_dead_runs_of, newest_run_of

    if find_spec("dagster_webserver") is None:
        raise SettingsError(
            "the UI is not installed in this environment: pip install 'aiops-assets[ui]'", code="not_installed"
        )
    environment = dagster_environment(load_settings(os.environ))
    home = environment["DAGSTER_HOME"]
    close_dead_runs_of(home)
    claim_runs_of(home, LOCATION)
    command = [executable("dagster"), "dev", *location_arguments(), "--host", host, "--port", str(port)]
    newest = newest_run_of(home)
    pages = {"newest run": f"/runs/{newest}"} if newest else {}
    pages |= {"runs": "/runs", "graph": "/asset-groups", "all assets": "/assets", "schedules": "/automation"}
    for about, path in pages.items():
        click.echo(f"{about.ljust(10)}  http://{host}:{port}{path}")
    sys.stdout.flush()
    # Dagster ends by SIGTERM as by SIGINT, which a shell's background jobs ignore from birth.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(command[0], command, environment)


@main.command()
@one_line_errors
def home() -> None:
    """Make the folder for all state, link Dagster's instance file into it, and print it."""
    from aiops_assets.commands.running import dagster_environment

    click.echo(dagster_environment(load_settings(os.environ))["DAGSTER_HOME"])


@main.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object alone on stdout.")
@one_line_errors
def lineage(name: str, as_json: bool) -> None:
    """Trace a served model back to its data and re-compute every digest; exit code 1 if one differs."""
    from aiops_assets.families.catalog import named
    from aiops_assets.pipeline.resources import stores_of, tracking_of
    from aiops_assets.registry.lineage import LineageReader

    table = load_settings(os.environ)
    stores = stores_of(table)
    reader = LineageReader(stores.served(), stores.training_sets(), stores.lake(), tracking_of(table).tracker())
    try:
        chain = reader.trace(named(name))
    except IntegrityError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(chain.model_dump(mode="json"), indent=2))
    else:
        click.echo(f"served directory  {chain.path} (version {chain.version})")
        for file in chain.files:
            click.echo(f"  file            {file.path} {file.sha256[:16]} {'verified' if file.verified else 'DIFFERS'}")
        click.echo(f"MLflow run        {chain.run_id}  {chain.run_url}")
        click.echo(f"Dagster run       {chain.dagster_run_id}")
        click.echo(f"code              {chain.code_version}")
        click.echo(f"cluster           {' '.join((chain.cluster, *chain.cluster_ids))}")
        click.echo(f"training set      {chain.training_set}")
        click.echo(f"source            {chain.effective_source}")
        for metric, share in chain.known.items():
            click.echo(f"  known           {metric} in {share:.1%} of the fetched rows")
        for warning in chain.warnings:
            click.echo(f"  warning         {warning}")
        for query in chain.queries:
            click.echo(f"  query           {query}")
        for day in chain.days:
            click.echo(f"  day             {day.day} {day.source:10s} {day.digest[:16]} {day.state}")
    if chain.problems:
        click.echo(f"error: {chain.problems[0]}", err=True)
        sys.exit(1)
    if not as_json:
        revised = sum(day.state == "revised" for day in chain.days)
        click.echo("every digest verified" + (f"; {revised} days of source data were revised since" if revised else ""))


main.add_command(metrics.metrics)
main.add_command(quality.backtest)
main.add_command(quality.evaluate)
main.add_command(champions.promote)
main.add_command(champions.rollback)
main.add_command(champions.models)
main.add_command(champions.doctor)
main.add_command(signing.sign)
main.add_command(cards.card)
main.add_command(cards.compare)
main.add_command(outlook.outlook)
main.add_command(lake.lake)
main.add_command(scores.scores)
main.add_command(serve.serve)
main.add_command(synthesize.synthesize)
