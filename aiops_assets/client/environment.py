"""The client's environment variables, which it reads itself: it is installed without the project's settings.

Meanings, defaults and errors are those of the settings' table (``aiops settings``); a test compares the two.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from aiops_assets.client.breaker import RESET_SECONDS, THRESHOLD
from aiops_assets.client.connection import TIMEOUT_SECONDS
from aiops_assets.durations import parse_duration
from aiops_assets.errors import DataError, SettingsError
from aiops_assets.http_client import plain_url, without_secrets

MIN_SECONDS = 0.01
MAX_TIMEOUT_SECONDS = 3600
MAX_RESET_SECONDS = 86_400
MIN_THRESHOLD, MAX_THRESHOLD = 1, 1000
UNITS = ("s", "m", "h", "d")
"""Units of a duration; without one it is in seconds."""
_WHOLE = re.compile(r"[+-]?\d+(_\d+)*(\.0+)?", re.ASCII)


class ClientSettings(Protocol):
    """Settings of a client: :class:`ClientVariables`, or the project's settings."""

    @property
    def ml_service_url(self) -> str | None:
        """URL of the service, without credentials."""

    @property
    def ml_service_timeout(self) -> float:
        """Timeout of a whole request, seconds."""

    @property
    def ml_service_token_file(self) -> Path | None:
        """File with the API key."""

    @property
    def ml_circuit_breaker_threshold(self) -> int:
        """Number of failures in a row that open the circuit breaker."""

    @property
    def ml_circuit_breaker_timeout(self) -> float:
        """Time from opening to the trial request, seconds."""


@dataclass(frozen=True)
class ClientVariables:
    """Values of the variables: each field is an environment variable in lower case; see :class:`ClientSettings`."""

    ml_service_url: str | None = None
    ml_service_timeout: float = TIMEOUT_SECONDS
    ml_service_token_file: Path | None = None
    ml_circuit_breaker_threshold: int = THRESHOLD
    ml_circuit_breaker_timeout: float = RESET_SECONDS


def read_variables(environment: Mapping[str, str]) -> ClientVariables:
    """The client's variables from an environment. Empty ones count as not set; other variables are ignored.

    Raises:
        SettingsError: variables have wrong values; the message is one line with each of them and what is allowed.
    """
    found: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, read in _READERS.items():
        if not (text := environment.get(name.upper())):
            continue
        try:
            found[name] = read(text)
        except ValueError as problem:
            problems[name.upper()] = f"{name.upper()}={without_secrets(text)}: not allowed, {problem}"
    if problems:
        raise SettingsError("; ".join(problems.values()), code="not_allowed", variables=list(problems))
    return ClientVariables(**found)


def _url(text: str) -> str:
    return plain_url(text, "ML_SERVICE_TOKEN_FILE")


def _seconds(text: str, most: int) -> float:
    written = text.strip()
    allowed = f"must be {MIN_SECONDS} to {most}"
    if written.endswith(UNITS):
        try:
            seconds = parse_duration(written).total_seconds()
        except DataError:
            raise ValueError("must be a duration such as 30s or 1m30s, or seconds") from None
    else:
        try:
            # Python accepts digits of any script; the settings' table only those of ASCII.
            seconds = float(written.encode("ascii"))
        except ValueError:
            raise ValueError(allowed) from None
    if not MIN_SECONDS <= seconds <= most:
        raise ValueError(allowed)
    return seconds


def _threshold(text: str) -> int:
    written = text.strip()
    try:
        number = int(written.partition(".")[0]) if _WHOLE.fullmatch(written) else 0
    except ValueError:
        # Python raises for thousands of digits.
        number = 0
    if not MIN_THRESHOLD <= number <= MAX_THRESHOLD:
        raise ValueError(f"must be {MIN_THRESHOLD} to {MAX_THRESHOLD}")
    return number


_READERS: Mapping[str, Callable[[str], object]] = {
    "ml_service_url": _url,
    "ml_service_timeout": partial(_seconds, most=MAX_TIMEOUT_SECONDS),
    "ml_service_token_file": Path,
    "ml_circuit_breaker_threshold": _threshold,
    "ml_circuit_breaker_timeout": partial(_seconds, most=MAX_RESET_SECONDS),
}
