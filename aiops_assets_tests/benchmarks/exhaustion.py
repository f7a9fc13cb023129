"""How often the time to exhaustion is right: `make exhaustion`, on simulated series whose true time is known.

Seeds are not those of the tests, nor those that the method was tuned on. The last table is the error of one who knows
how the two hardest kinds are made: it says what is left to win.
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


Range = tuple[float, float]
HARD: dict[str, float] = {"accelerating leak": 0.0, "leak in noise with a long memory": 0.9}
"""Kinds with the memory of their noise."""
POWERS = (1.0, 0.6, 0.7, 0.8, 0.9, 0.95, 1.1, 1.24, 1.38, 1.52, 1.66, 1.8)
POWER_PRIOR = (0.5, *[0.05] * 5, *[0.25 / 6] * 6)
NEWEST = 300


def informed(values: Floats, memory: float, began: Range, done: Range) -> tuple[float, float, float]:
    """Quantiles .1, .5 and .9 of the hours left, of all that :func:`leak` could have made.

    Args:
        values: (n,) rows of five minutes; before the newest 300 they are flat.
        memory: of the noise, whose innovations have the spread that these rows show.
        began: least and most rows since the leak began, a uniform logarithm.
        done: least and most share of the time to the limit that is over, uniform.
    """
    fresh = values[1:] - memory * values[:-1]
    quiet, newest = fresh[:-NEWEST], fresh[-NEWEST:]
    away, share = 1 - memory, np.linspace(*done, 49)
    logs, left = [], []
    for begin in np.unique(np.geomspace(*began, 90).astype(int)):
        since = np.maximum(np.arange(NEWEST + 1) - (NEWEST - begin), 0) / begin
        for power, prior in zip(POWERS, POWER_PRIOR, strict=True):
            # level * (1 - curve) + curve, where curve is (hours / hours to the limit) ** power
            curve = share[:, None] ** power * (since[1:] ** power - memory * since[:-1] ** power)
            slope, rest = away - curve, newest - curve
            squares = (slope**2).sum(axis=1) + len(quiet) * away**2
            level = ((slope * rest).sum(axis=1) + away * quiet.sum()) / squares
            rss = (rest**2).sum(axis=1) + (quiet**2).sum() - level**2 * squares
            logs.append(-0.5 * rss / quiet.var() - 0.5 * np.log(squares) + np.log(prior))
            left.append(begin / 12 * (1 / share - 1))
    log, hours = np.concatenate(logs), np.concatenate(left)
    order = np.argsort(hours)
    total = np.cumsum(np.exp(log[order] - log.max()))
    low, middle, high = (hours[order][np.searchsorted(total, part * total[-1])] for part in (0.1, 0.5, 0.9))
    return float(low), float(middle), float(high)


def informed_row(kind: str, rng: Rng, began: Range, done: Range) -> str:
    """A row of the third table: median errors of all, and of the 70 % whose interval is narrowest."""
    found = []
    for _ in range(SERIES):
        values, truth = SIMULATED[kind](rng)
        low, middle, high = informed(values, HARD[kind], began, done)
        found.append((high / low, abs(middle / truth - 1)))
    errors = [error for _, error in sorted(found)]
    return f"{np.median(errors):.0%} | {np.median(errors[: round(0.7 * SERIES)]):.0%}"


@click.command()
def main() -> None:
    """Print the tables."""
    click.echo(
        "| reaches 1 | true time in the 80 % interval | median error | estimate to true (median) | no estimate |"
    )
    click.echo("|---|---|---|---|---|")
    for number, kind in enumerate(SIMULATED):
        click.echo(reaching_row(kind, np.random.default_rng([SEED, number])))
    click.echo("\n| has no trend | taken for one |\n|---|---|")
    for number, kind in enumerate(STAYING):
        click.echo(staying_row(kind, np.random.default_rng([SEED, 100 + number])))
    click.echo(
        "\n| knows noise and powers | median error | of the surest 70 % | knows ranges too | of the surest 70 % |"
    )
    click.echo("|---|---|---|---|---|")
    for kind in HARD:
        seed = [SEED, list(SIMULATED).index(kind)]
        ranges: tuple[tuple[Range, Range], ...] = (((6, 288), (0.02, 0.98)), ((24, 96), (1 / 4, 1 / 1.5)))
        rows = [informed_row(kind, np.random.default_rng(seed), *each) for each in ranges]
        click.echo(f"| {kind} | {rows[0]} | {rows[1]} |")


if __name__ == "__main__":
    main()
