"""`aiops serve`: the ML service."""

import os
from pathlib import Path

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.settings import load_settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 in a container.")
@click.option("--port", "--http_port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--model", "--model_name", default="", help="Serve this model alone, as KServe's predictor container does."
)
@click.option(
    "--model_dir",
    type=click.Path(path_type=Path),
    help="Serve the version in this folder, whatever is champion. Needs --model.",
)
@click.option("--demo", is_flag=True, help="Deterministic answers without any model, for tests of clients.")
@one_line_errors
def serve(host: str, port: int, model: str, model_dir: Path | None, demo: bool) -> None:
    """Answer requests of the engine, KServe and people over HTTP; see http://HOST:PORT/docs.

    Champions are read from MODEL_ROOT, also those that are promoted later. A model is ready when a smoke inference
    passed; /health states which are ready, and why others are not.

    A version in --model_dir has to be in the champion record below MODEL_ROOT, which has its digest.
    """
    if model_dir and (demo or not model):
        raise click.UsageError("--model_dir holds one model: name it with --model, and leave out --demo")
    try:
        from aiops_assets.service import serving
    except ModuleNotFoundError as error:
        cure = "pip install 'aiops-assets[service]', or in a checkout `make service`"
        raise click.ClickException(f"{error.name} is missing: {cure}") from None
    serving.serve(load_settings(os.environ), host, port, model, model_dir, demo=demo)
