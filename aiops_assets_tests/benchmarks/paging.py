"""How often a generated fleet pages without an incident, and how many incidents page in time.

Two weeks of harmless life, in which levels are learnt, then two weeks that are judged; the same once more with
incidents in the second half. An episode of pages ends after an hour without one. With ``--unlike`` the fleets are those
of a second generator, which has no nodes.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

import click
import numpy as np
import pandas as pd

from aiops_assets.learners.fleet.pager import Pager
from aiops_assets.learners.fleet.signals import NODE_SIGNALS, POD_SIGNALS, Signal
from aiops_assets.synthetic.fleet import Fleet, Wish, fleet
from aiops_assets.synthetic.lives import Episode
from aiops_assets.timeseries.catalog import POD_MEMORY
from aiops_assets_tests.benchmarks.unlike import unlike_fleet

END = pd.Timestamp("2026-03-02", tz="UTC")
LEARNT_DAYS, JUDGED_DAYS = 14, 14
STEP, PAUSE, IN_TIME, NEAR_LIMIT = 5, 60, 15, 0.8
LEAK = "memory_leak"
KINDS = ("cpu_spike", "restart_storm", "network_burst", "crash_loop", LEAK)
RAMP, RAMPS = "node_memory_ramp", 5
"""Of few nodes not many can be struck."""


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


def node_rows_of(living: Fleet) -> pd.DataFrame:
    """The same of its nodes."""
    nodes = living.nodes()
    names = [one.name for one in NODE_SIGNALS]
    values = np.stack([nodes.values[name][:, ::STEP] for name in names], axis=2)
    steps, which = np.nonzero(np.isfinite(values).any(axis=2).T)
    rows = pd.DataFrame(values[which, steps], columns=names)
    entities = np.array(nodes.nodes, dtype=object)[which]
    return rows.assign(minute=steps * STEP, timestamp=nodes.times[steps * STEP], entity=entities, workload=entities)


def paged(rows: pd.DataFrame, nodes: pd.DataFrame | None, alerts_per_day: float) -> Paged:
    """Page the whole life of a fleet: one budget for its pods and nodes."""
    kinds: list[tuple[pd.DataFrame, tuple[Signal, ...]]] = [(rows, POD_SIGNALS)]
    kinds += [] if nodes is None else [(nodes, NODE_SIGNALS)]
    groups = sum(part["workload"].nunique() for part, _ in kinds)
    minutes: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
    for part, signals in kinds:
        found = part[Pager(signals, alerts_per_day * part["workload"].nunique() / groups).pages(part).page]
        minutes |= {str(name): one["minute"].to_numpy() for name, one in found.groupby("entity")}
    return Paged(minutes, rows[["minute", "entity", POD_MEMORY.name]])


def own_fleet(pods: int, seed: int, incidents: int) -> tuple[pd.DataFrame, pd.DataFrame, list[Episode]]:
    """Rows of pods and nodes of a fleet of this package, and its incidents: ``incidents`` of each kind."""
    days, first = LEARNT_DAYS + JUDGED_DAYS, LEARNT_DAYS * 1440
    counts = dict.fromkeys(KINDS, incidents) | {RAMP: RAMPS if incidents else 0}
    wishes = [Wish(kind, count, first, days * 1440 - 400) for kind, count in counts.items() if count]
    living = fleet(pods, days, END, seed, wishes)
    return rows_of(living), node_rows_of(living), living.incidents


@click.command()
@click.option("--pods", default=500, show_default=True)
@click.option("--seed", "seeds", multiple=True, type=int, default=(11, 12, 13, 14, 15), show_default=True)
@click.option("--incidents", default=30, show_default=True, help="Of each kind; of nodes at most 5.")
@click.option("--alerts-per-day", default=1.0, show_default=True)
@click.option("--unlike", is_flag=True, help="Fleets of the second generator.")
def main(pods: int, seeds: tuple[int, ...], incidents: int, alerts_per_day: float, unlike: bool) -> None:
    """Print a line for each seed."""
    days, first = LEARNT_DAYS + JUDGED_DAYS, LEARNT_DAYS * 1440

    def made(seed: int, count: int) -> tuple[pd.DataFrame, pd.DataFrame | None, list[Episode]]:
        if not unlike:
            return own_fleet(pods, seed, count)
        rows, episodes = unlike_fleet(pods, days, END, seed, count, LEARNT_DAYS)
        return rows, None, episodes

    for seed in seeds:
        rows, nodes, _ = made(seed, 0)
        pages = paged(rows, nodes, alerts_per_day).episodes(first) / JUDGED_DAYS
        rows, nodes, struck = made(seed, incidents)
        answer = paged(rows, nodes, alerts_per_day)
        caught, there = defaultdict[str, int](int), Counter(episode.kind for episode in struck)
        for episode in struck:
            caught[episode.kind] += answer.in_time(episode)
        shares = ", ".join(f"{kind} {caught[kind] / count:.2f}" for kind, count in there.items())
        click.echo(f"seed {seed}, {pods} pods: {pages:.2f} pages a day without an incident; in time: {shares}")


if __name__ == "__main__":
    main()
