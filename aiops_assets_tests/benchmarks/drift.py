"""How often drift is right: `python -m aiops_assets_tests.benchmarks.drift`, on simulated clusters of five metrics.

A cluster is trained on some days; then thirty ordinary days follow, with a look every two hours. In copies of the same
metrics one moves, or widens, at some hour of these days, and looks of the day after it say whether that is seen. Seeds
are not those of the tests, nor those that the method was tuned on.
"""

from collections.abc import Iterator

import click
import numpy as np

from aiops_assets.timeseries.series import DAY_SECONDS
from aiops_assets_tests.timeseries.drift_looks import METRICS, alarms, drifts, trained, weights
from aiops_assets_tests.timeseries.drift_series import NOISES, START, simulated

SEED = 2026
LIVE_DAYS = 30
LOOK_SECONDS = 7200
WINDOWS = ((14, 300, 3.0), (7, 300, 3.0), (3, 300, 0.0), (7, 60, 0.0))
"""Days of training, distance of samples in seconds, and by how many deviations weekends are lower."""
MOVES = ("shift by a deviation of the noise", "doubled variance of the noise", "shift by a deviation of the metric")


def row(noise: str, clusters: int, days: int, step: int, week: float) -> str:
    """A row of a table: alarms in thirty days, and the share of changes that are seen within a day."""
    raised, seen = [], []
    for number in range(clusters):
        rng = np.random.default_rng([SEED, number, days, step])
        begin = START + number % 7 * DAY_SECONDS
        live = begin + days * DAY_SECONDS
        times = range(live + DAY_SECONDS, live + LIVE_DAYS * DAY_SECONDS + 1, LOOK_SECONDS)
        heaviest = np.zeros(len(times))
        for _ in range(METRICS):
            metric = simulated(rng, noise, days + LIVE_DAYS, step, week=week, start=begin)
            values = metric.values()
            profile = trained(metric.seconds, values, live, step)
            heaviest = np.maximum(heaviest, weights(profile, metric.seconds, values, times))
        raised.append(alarms(times, list(heaviest)))
        since = live + int(rng.integers(8, 20 * 24)) * 3600 + DAY_SECONDS
        looks = range(since + LOOK_SECONDS, since + DAY_SECONDS + 1, LOOK_SECONDS)
        deviation = float(np.std(values))
        moves = ({"shift": 1.0}, {"width": 2**0.5}, {"shift": deviation})
        seen += [any(drifts(profile, metric.seconds, metric.values(since, **moved), looks)) for moved in moves]
    shares = np.array(seen).reshape(clusters, len(MOVES)).mean(axis=0)
    return f"| {noise} | {np.mean(raised):.2f} | {max(raised)} | " + " | ".join(f"{s:.0%}" for s in shares) + " |"


def table(clusters: int, days: int, step: int, week: float) -> Iterator[str]:
    """Lines of a table."""
    weekly = f", weekends {week:g} deviations lower" if week else ""
    yield f"\n{days} days of training, a sample every {step} s{weekly}; {clusters} clusters of {METRICS} metrics\n"
    yield "| noise | alarms in 30 days | most | " + " | ".join(MOVES) + " |"
    yield "|---|---|---|" + "---|" * len(MOVES)
    for noise in NOISES:
        yield row(noise, clusters, days, step, week)


@click.command()
@click.option("--clusters", default=10, show_default=True, help="Simulated clusters behind each row.")
def main(clusters: int) -> None:
    """Print a table for each window of training."""
    for days, step, week in WINDOWS:
        for text in table(clusters, days, step, week):
            click.echo(text)


if __name__ == "__main__":
    main()
