"""`aiops sign`: sign what earlier releases left unsigned, or what an older key signed."""

import os
import sys

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.settings import load_settings


@click.command()
@click.argument("name", required=False)
@click.option("--yes", is_flag=True, help="Sign what is to be signed: from then on it is served and loaded.")
@one_line_errors
def sign(name: str | None, yes: bool) -> None:
    """Show which versions of model NAME, or of all, are signed, and who recorded the others; with --yes sign those.

    Homes of releases before 0.3.0 need this once, and so does each new key. Exit code 1 if something is left to be
    signed, or is refused.
    """
    from aiops_assets.families.catalog import named
    from aiops_assets.pipeline.resources import stores_of, tracking_of
    from aiops_assets.registry import signing
    from aiops_assets.registry.listing import names_served

    table = load_settings(os.environ)
    served, tracker = stores_of(table).served(), tracking_of(table).tracker()
    names = [found for found in names_served(served) if name is None or found == named(name)]
    if not names:
        click.echo(f"nothing to sign: no version {f'of {name} ' if name else ''}in {served.storage.url}")
        return
    standings = list((signing.sign if yes else signing.examine)(served, tracker, names))
    for one in standings:
        click.echo(f"{one.state:12s}{one.model} {one.what}: {one.text}")
    waiting = sum(one.state == "to sign" for one in standings)
    refused = sum(one.state == "REFUSED" for one in standings)
    if waiting:
        click.echo(
            f"{waiting} to sign, nothing was changed. Whoever could write there could have put it there, and what is "
            f"signed is run as code: compare with what you know, then `aiops sign --yes` ({tracker.evidence})",
            err=True,
        )
    if refused:
        click.echo(f"{refused} refused: not served, not loaded, not signed", err=True)
    if waiting or refused:
        sys.exit(1)
