import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError, SchemaError
from aiops_assets.timeseries.history import MAX_DAYS, MIN_ROWS, history_of
from aiops_assets_tests.raising import raises


def frame_of(values: list[float] | np.ndarray, minutes: float = 5) -> pd.DataFrame:
    times = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(len(values)) * minutes, unit="min")
    return pd.DataFrame({"timestamp": times, "cpu": np.asarray(values, dtype=float)})


def test_finer_samples_are_averaged_over_five_minutes_in_any_order_of_rows() -> None:
    frame = frame_of(np.arange(100), minutes=1)
    history = history_of(frame.sample(frac=1, random_state=1))
    assert (history.step_seconds, len(history.times)) == (300, 20)
    assert history.values[:, 0].tolist() == [5 * step + 2 for step in range(20)]
    assert history.times[0] == frame["timestamp"][0]


def test_an_hourly_series_keeps_its_step() -> None:
    history = history_of(frame_of(np.arange(30), minutes=60))
    assert (history.step_seconds, history.values[:, 0].tolist()) == (3600, list(range(30)))


def test_a_gap_is_filled_and_remembered() -> None:
    history = history_of(frame_of(np.arange(40)).drop(index=[10, 11, 12]))
    assert history.values[:, 0].tolist() == pytest.approx(list(range(40)))
    assert np.flatnonzero(~history.known[:, 0]).tolist() == [10, 11, 12]


def test_what_was_known_earlier_does_not_hold_what_came_later() -> None:
    frame = frame_of(np.arange(40)).drop(index=[18, 19])
    then = history_of(frame).until(20)
    assert then.values[:, 0].tolist() == [*range(18), 17, 17]
    assert not then.known[18:].any()
    assert then.after(2).tolist() == [frame["timestamp"][20], frame["timestamp"][21]]


def test_a_long_history_is_read_from_its_newest_days() -> None:
    history = history_of(frame_of(np.zeros((MAX_DAYS + 5) * 24), minutes=60))
    assert len(history.times) == MAX_DAYS * 24


def test_a_metric_without_any_sample_is_left_out() -> None:
    assert history_of(frame_of(np.arange(20)).assign(memory=np.nan)).metrics == ("cpu",)


@pytest.mark.parametrize("minute", range(5))
def test_an_hour_is_enough_wherever_it_begins(minute: int) -> None:
    hour = frame_of(np.arange(60), minutes=1)
    hour["timestamp"] += pd.Timedelta(minutes=minute)
    first_and_last = 2  # may be incomplete, and left out
    assert len(history_of(hour).times) - first_and_last >= MIN_ROWS


def test_too_little_is_refused_by_name() -> None:
    with raises(DataError, "no_sample"):
        history_of(frame_of(np.full(20, np.nan)))
    with raises(DataError, "too_few_steps", column="cpu", steps=9, least=10):
        history_of(frame_of(np.arange(9)))
    with pytest.raises(SchemaError, match="column name holds"):
        history_of(frame_of(np.arange(20)).assign(name="web"))
