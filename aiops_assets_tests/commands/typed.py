"""How a typed command ended: as an error with a code, or as a text that is compared with a snapshot."""

import shlex
from collections.abc import Callable, Mapping
from typing import TypeVar

from click.testing import Result

from aiops_assets.errors import AiopsError
from aiops_assets_tests.snapshot import steady

Kind = TypeVar("Kind", bound=AiopsError)


def refused(done: Result, kind: type[Kind], code: str, **facts: object) -> Kind:
    """The error that ended a command: exit code 2, one line on stderr and nothing on stdout.

    It is of that type and code, and its facts are, among others, these.
    """
    error = cause(done)
    assert isinstance(error, kind), repr(error)
    assert (error.code, {name: value for name, value in error.facts.items() if name in facts}) == (code, facts)
    assert done.stdout == ""
    return error


def cause(done: Result) -> AiopsError:
    """The error that ended a command with exit code 2, and is all that it wrote on stderr; one line."""
    assert done.exit_code == 2, done.output
    assert done.exc_info
    error = done.exc_info[1].__cause__
    assert isinstance(error, AiopsError)
    assert done.stderr == f"error: {error}\n"
    assert len(str(error).splitlines()) == 1
    return error


class Transcript:
    """Commands and what they printed.

    Args:
        call: runs a command in this process; it takes words and environment variables.
        places: word -> folder, address or person that it stands for in the transcript.
    """

    def __init__(self, call: Callable[..., Result], **places: object) -> None:
        self.call = call
        self.places = places
        self.text = ""

    def type(self, *words: object, lines: int | None = None, given: Mapping[str, str] | None = None) -> None:
        """Run a command with variables; stdout follows it, or its first lines, and those of stderr, marked."""
        variables = given or {}
        done = self.call(*map(str, words), **variables)
        stdout = "".join(done.stdout.splitlines(keepends=True)[:lines])
        typed = [*(f"{name}={value}" for name, value in variables.items()), "aiops", *map(str, words)]
        errors = "".join(f"stderr: {line}\n" for line in done.stderr.splitlines())
        printed = f"$ {shlex.join(typed)}\n{stdout}{errors}exit code {done.exit_code}\n\n"
        self.text += steady(printed, self.places)
