"""How often the time to exhaustion is right: `make exhaustion`, on simulated series whose true time is known.

Seeds are not those of the tests, nor those that the method was tuned on.
"""

from collections.abc import Callable

import click
import numpy as np

from aiops_assets.outlook.exhaustion import time_to_exhaustion
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.outlook.exhaustion_series import (
    SIMULATED,
    Rng,
    falling,
    history,
    random_walk,
    settled,
    swinging,
    teeth,
    white_noise,
)

SERIES = 50
"""Of each kind."""
SEED = 2027
STAYING: dict[str, Callable[[Rng], Floats]] = {
    "daily swing, two days or more": swinging,
    "daily swing, less than two days": lambda rng: swinging(rng, 0.5, 1.5),
    "random walk": random_walk,
    "white noise": white_noise,
    "falling": falling,
    "deletes that keep the level": teeth,
    "memory that has settled": settled,
}


def reaching_row(kind: str, rng: Rng) -> str:
    """A row of the first table: estimates of series that reach their limit, and of how many there is none."""
    inside, ratios = [], []
    for _ in range(SERIES):
        values, truth = SIMULATED[kind](rng)
        found = time_to_exhaustion(history(values), "m", 1.0)
        if found.hours is None:
            continue
        latest = np.inf if found.latest_hours is None else found.latest_hours
        inside.append(found.not_before_hours <= truth <= latest)
        ratios.append(found.hours / truth)
    error, usual = np.median(np.abs(np.array(ratios) - 1)), np.median(ratios)
    return f"| {kind} | {np.mean(inside):.0%} | {error:.0%} | {usual:.2f} | {1 - len(ratios) / SERIES:.0%} |"


def staying_row(kind: str, rng: Rng) -> str:
    """A row of the second table: of how many series without a trend there is an estimate all the same."""
    found = [time_to_exhaustion(history(STAYING[kind](rng)), "m", 1.0) for _ in range(SERIES)]
    return f"| {kind} | {np.mean([one.hours is not None for one in found]):.0%} |"


@click.command()
def main() -> None:
    """Print both tables."""
    click.echo(
        "| reaches 1 | true time in the 80 % interval | median error | estimate to true (median) | no estimate |"
    )
    click.echo("|---|---|---|---|---|")
    for number, kind in enumerate(SIMULATED):
        click.echo(reaching_row(kind, np.random.default_rng([SEED, number])))
    click.echo("\n| has no trend | taken for one |\n|---|---|")
    for number, kind in enumerate(STAYING):
        click.echo(staying_row(kind, np.random.default_rng([SEED, 100 + number])))


if __name__ == "__main__":
    main()
