"""What of a window is estimated to run out: which things, with which labels, and how few are looked at closely."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.capacity import DISK, MEMORY, QUOTA, VOLUME, Capacity
from aiops_assets.datasets.newest import NewestWindow, generated_window
from aiops_assets.registry.exhausting import exhausting, hours_at_most
from aiops_assets.storage.scores import EXHAUSTION_COLUMNS
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.conftest import make_settings

DAY = 288
UNTIL = pd.Timestamp("2026-11-01T12:00Z")
TIMES = pd.date_range(end=UNTIL, periods=4 * DAY, freq="5min", unit="us")
HOURS = np.arange(len(TIMES)) / 12 - (len(TIMES) - 1) / 12
"""Of each row, relative to the newest one."""


def noise(seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.002, len(TIMES))


def full_in(hours: float, now: float = 0.7) -> Floats:
    """Steady growth that reaches 1 then."""
    return now + (1 - now) * HOURS / hours + noise()


def daily(level: float = 0.5) -> Floats:
    return level + 0.2 * np.sin(2 * np.pi * HOURS / 24) + noise(2)


def capacity(kind: str, **things: Floats) -> Capacity:
    """Things of a kind, named by the label that names it."""
    names: dict[str, tuple[Mapping[str, str], ...]] = {
        DISK: tuple({"node": name} for name in things),
        VOLUME: tuple({"namespace": "shop", "persistentvolumeclaim": name} for name in things),
        QUOTA: tuple({"namespace": "shop", "resourcequota": name, "resource": "pods"} for name in things),
        MEMORY: tuple({"pod": f"shop/{name}"} for name in things),
    }
    return Capacity(kind, names[kind], TIMES, np.stack(list(things.values())))


def estimates(*capacities: Capacity, most: int = 100) -> pd.DataFrame:
    window = NewestWindow("prometheus", capacities=capacities)
    return exhausting(window, UNTIL.to_pydatetime(), most).rows


def test_each_kind_is_estimated_with_the_labels_that_name_it() -> None:
    found = estimates(
        capacity(DISK, node1=full_in(100), calm=daily()),
        capacity(VOLUME, data=full_in(50)),
        capacity(QUOTA, compute=full_in(200)),
        capacity(MEMORY, **{"cart-7d9c8b6f5-x2x4z": full_in(20)}),
    ).set_index("kind")
    assert list(found.reset_index()[list(EXHAUSTION_COLUMNS)].columns) == list(EXHAUSTION_COLUMNS)
    assert set(found.index) == {DISK, VOLUME, QUOTA, MEMORY}
    assert found.loc[DISK, "node"] == "node1"
    assert tuple(found.loc[VOLUME, ["namespace", "persistentvolumeclaim", "pod"]]) == ("shop", "data", "")
    assert tuple(found.loc[QUOTA, ["namespace", "resourcequota", "resource"]]) == ("shop", "compute", "pods")
    assert tuple(found.loc[MEMORY, ["namespace", "pod", "workload"]]) == ("shop", "cart-7d9c8b6f5-x2x4z", "cart")
    truth = {DISK: 100, VOLUME: 50, QUOTA: 200, MEMORY: 20}
    for kind, hours in truth.items():
        assert found.loc[kind, "seconds"] == pytest.approx(hours * 3600, rel=0.1)
        lower, upper = found.loc[[kind], ["lower", "upper"]].to_numpy(dtype=np.float64)[0]
        assert lower <= hours * 3600 <= upper
    assert found["usage"].tolist() == pytest.approx([0.7] * 4, abs=0.01)
    assert (found["timestamp"] == UNTIL).all()


def test_what_swings_falls_or_stands_still_has_no_row() -> None:
    still = capacity(DISK, daily=daily(), flat=0.9 + noise(), falling=0.7 - 0.001 * HOURS, walk=0.5 + noise().cumsum())
    assert estimates(still).empty


def test_what_is_full_now_runs_out_now_and_what_has_been_full_for_a_day_is_no_prediction() -> None:
    filled = np.minimum(full_in(100) + 0.302 + 0.02 * np.sign(HOURS + 1), 1.0)
    found = estimates(capacity(DISK, since_an_hour=filled, always=np.ones(len(TIMES))))
    assert found[["node", "seconds", "lower", "upper"]].to_numpy().tolist() == [["since_an_hour", 0, 0, 0]]


def test_gaps_and_things_that_are_gone_or_new() -> None:
    gone, new, gap = full_in(100), full_in(100), full_in(100)
    gone[-24:] = np.nan
    new[:-6] = np.nan
    gap[100:400] = np.nan
    found = estimates(capacity(DISK, gone=gone, new=new, gap=gap, never=np.full(len(TIMES), np.nan)))
    assert found["node"].tolist() == ["gap"]


def test_the_most_urgent_come_first_and_the_others_are_counted() -> None:
    things = {f"node-{hours}": full_in(hours) for hours in (200, 20, 100)}
    window = NewestWindow("prometheus", capacities=(capacity(DISK, **things),))
    found = exhausting(window, UNTIL.to_pydatetime(), most=1)
    assert found.rows["node"].tolist() == ["node-20"]
    assert found.postponed >= 1
    assert found.watched == {DISK: 3, VOLUME: 0, MEMORY: 0, QUOTA: 0}


def test_few_of_many_healthy_things_are_looked_at_closely() -> None:
    rng = np.random.default_rng(3)
    phases, swings, levels = rng.uniform(0, 24, 1000), rng.uniform(0, 0.15, 1000), rng.uniform(0.2, 0.7, 1000)
    values = levels[:, None] + swings[:, None] * np.sin(2 * np.pi * (HOURS + phases[:, None]) / 24)
    values = values + rng.normal(0, 0.01, values.shape)
    values[0] = full_in(30)
    values[1] = levels[1] + np.maximum(HOURS + 5, 0) * 0.03 + noise()  # a leak of five hours
    hours = hours_at_most(values)
    assert (hours[:2] < 336).all()
    assert (hours[2:] < 336).mean() < 0.1


def test_a_generated_window_has_its_pods_alone(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, TRAINING_PODS="4")
    now = (UNTIL + timedelta(minutes=1)).to_pydatetime()
    found = exhausting(generated_window(settings, now), now)
    assert found.watched == {DISK: 0, VOLUME: 0, MEMORY: 4, QUOTA: 0}
    assert found.rows.empty
