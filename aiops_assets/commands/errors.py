"""Error handling of commands."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

from aiops_assets.errors import AiopsError

Arguments = ParamSpec("Arguments")


def one_line_errors(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """End a command with one line on stderr and exit code 2 for errors of ours; others are bugs and raised."""

    @wraps(command)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except AiopsError as error:
            click.echo(f"error: {error}", err=True)
            raise SystemExit(2) from error

    return wrapper
