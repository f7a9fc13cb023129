"""`aiops serve`: the ML service."""

import os

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.settings import load_settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 in a container.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option("--model", default="", help="Serve this model alone, as KServe's predictor container does.")
@click.option("--demo", is_flag=True, help="Deterministic answers without any model, for tests of clients.")
@one_line_errors
def serve(host: str, port: int, model: str, demo: bool) -> None:
    """Answer the engine, KServe's tools and people over HTTP; see http://HOST:PORT/docs.

    Champions are read from MODEL_ROOT, also those that are promoted later. A model is ready when a smoke inference
    passed; /health tells what is and what is not.
    """
    try:
        from aiops_assets.service import serving
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is missing: pip install 'aiops-assets[service]'") from None
    serving.serve(load_settings(os.environ), host, port, model, demo=demo)
