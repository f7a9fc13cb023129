"""How often a generated fleet pages without an incident, and how many incidents page in time.

Two weeks of harmless life, in which levels are learnt, then two weeks that are judged; the same once more with
incidents in the second half. An episode of pages ends after an hour without one.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

import click
import numpy as np
import pandas as pd

from aiops_assets.learners.fleet.pager import Pager
from aiops_assets.learners.fleet.signals import POD_SIGNALS
from aiops_assets.synthetic.fleet import Fleet, Wish, fleet
from aiops_assets.synthetic.lives import Episode
from aiops_assets.timeseries.catalog import POD_MEMORY

END = pd.Timestamp("2026-03-02", tz="UTC")
LEARNT_DAYS, JUDGED_DAYS = 14, 14
STEP, PAUSE, IN_TIME, NEAR_LIMIT = 5, 60, 15, 0.8
LEAK = "memory_leak"
KINDS = ("cpu_spike", "restart_storm", "network_burst", "crash_loop", LEAK)


@dataclass(frozen=True)
class Paged:
    """Minutes at which each entity pages, and the minutes and memory of each pod."""

    minutes: dict[str, "np.ndarray[tuple[int], np.dtype[np.int64]]"]
    rows: pd.DataFrame

    def in_time(self, episode: Episode) -> bool:
        """Whether an incident has a paging row within a quarter of an hour; a leak before 80 % of the limit."""
        last = episode.begin + IN_TIME
        if episode.kind == LEAK:
            pod = self.rows[(self.rows["entity"] == episode.subject) & (self.rows["minute"] >= episode.begin)]
            high = pod.loc[pod[POD_MEMORY.name] >= NEAR_LIMIT, "minute"]
            last = int(high.iloc[0]) if len(high) else episode.end
        at = self.minutes.get(episode.subject, np.empty(0))
        return bool(((at >= episode.begin) & (at <= last)).any())

    def episodes(self, first: int) -> int:
        """Episodes of pages from a minute on."""
        kept = [at[at >= first] for at in self.minutes.values()]
        return sum(1 + int((np.diff(at) >= PAUSE).sum()) for at in kept if len(at))


def rows_of(living: Fleet) -> pd.DataFrame:
    """``minute``, ``timestamp``, ``entity``, ``workload`` and the signals of each pod every five minutes, by time."""
    names = [one.name for one in POD_SIGNALS]
    parts = []
    for batch in living.batches():
        values = np.stack([batch.values[name][:, 0, ::STEP] for name in names], axis=2)
        pods, steps = np.nonzero(np.isfinite(values).any(axis=2))
        part = pd.DataFrame(values[pods, steps], columns=names)
        entities = np.array(batch.pods, dtype=object)[pods]
        owners = np.array([living.workload_of[pod] for pod in batch.pods], dtype=object)[pods]
        parts.append(part.assign(minute=steps * STEP, entity=entities, workload=owners))
    rows = pd.concat(parts).sort_values("minute", kind="stable", ignore_index=True)
    return rows.assign(timestamp=living.times[rows["minute"].to_numpy()])


def paged(living: Fleet, alerts_per_day: float) -> Paged:
    """Page the whole life of a fleet."""
    rows = rows_of(living)
    found = rows[Pager(POD_SIGNALS, alerts_per_day).pages(rows).page]
    minutes = {str(name): part["minute"].to_numpy() for name, part in found.groupby("entity")}
    return Paged(minutes, rows[["minute", "entity", POD_MEMORY.name]])


@click.command()
@click.option("--pods", default=500, show_default=True)
@click.option("--seed", "seeds", multiple=True, type=int, default=(11, 12, 13, 14, 15), show_default=True)
@click.option("--incidents", default=30, show_default=True, help="Of each kind.")
@click.option("--alerts-per-day", default=1.0, show_default=True)
def main(pods: int, seeds: tuple[int, ...], incidents: int, alerts_per_day: float) -> None:
    """Print a line for each seed."""
    days, first = LEARNT_DAYS + JUDGED_DAYS, LEARNT_DAYS * 1440
    wishes = [Wish(kind, incidents, first, days * 1440 - 400) for kind in KINDS]
    for seed in seeds:
        pages = paged(fleet(pods, days, END, seed), alerts_per_day).episodes(first) / JUDGED_DAYS
        struck = fleet(pods, days, END, seed, wishes)
        answer = paged(struck, alerts_per_day)
        caught, there = defaultdict[str, int](int), Counter(episode.kind for episode in struck.incidents)
        for episode in struck.incidents:
            caught[episode.kind] += answer.in_time(episode)
        shares = ", ".join(f"{kind} {caught[kind] / there[kind]:.2f}" for kind in KINDS)
        click.echo(f"seed {seed}, {pods} pods: {pages:.2f} pages a day without an incident; in time: {shares}")


if __name__ == "__main__":
    main()
