"""How long the tests of kills, drawn requests and hours are: short in CI, whole for `make soak`."""

import os

SOAK = "AIOPS_SOAK"
"""Variable: the share of the whole length, 1 for all of it; unset or empty: the short form."""


def soaking() -> bool:
    """Whether this is `make soak`."""
    return bool(os.environ.get(SOAK))


def at_length(short: int, whole: int) -> int:
    """How often, or for how many seconds: ``short`` in CI, the asked share of ``whole`` for `make soak`."""
    return max(short, round(whole * float(os.environ[SOAK]))) if soaking() else short
