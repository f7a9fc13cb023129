"""Two forecasters side by side: the frame, what it comes to, and over several windows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import ModelError
from aiops_assets.judging.forecasting import gate as forecast_gate
from aiops_assets.judging.forecasting.holdout import KEYS, SIDES, ForecastFigures, figures_of
from aiops_assets.judging.forecasting.shadow import (
    COLUMNS,
    ForecastsSideBySide,
    by_metric,
    compare,
    forecasts_of,
    interval_sides,
    noise,
    side_by_side,
    summary_of,
)
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot

STEP = pd.Timedelta(minutes=5)


def forecasts(error: float, origins: int = 4, steps: int = 12, width: float = 1.0) -> pd.DataFrame:
    """What is always wrong by so much; cpu comes as 10, memory as 20; who is trivial is wrong by 1 and by 4."""
    begin = pd.Timestamp("2026-11-01", tz="UTC")
    rows = [
        {
            "source": "synthetic",
            "pod": "synthetic-000",
            "origin": begin + 3 * i * pd.Timedelta(hours=1),
            "timestamp": begin + 3 * i * pd.Timedelta(hours=1) + step * STEP,
            "step": step,
            "metric": metric,
            "actual": actual,
            "seasonal_naive": actual + 1.0,
            "median_24h": actual - 4.0,
            "scale": 1e-9,
            "value": actual + error,
            "lower": actual + error - width,
            "upper": actual + error + width,
        }
        for i in range(origins)
        for metric, actual in (("cpu", 10.0), ("memory", 20.0))
        for step in range(1, steps + 1)
    ]
    return pd.DataFrame(rows, columns=[*KEYS, *SIDES])


def test_the_frame_holds_what_both_said_and_survives_parquet(tmp_path: Path) -> None:
    new, old = forecasts(0.5), forecasts(-2.0)
    frame = side_by_side(new, old)
    assert tuple(frame) == COLUMNS
    frame.to_parquet(tmp_path / "f.parquet", index=False)
    kept = pd.read_parquet(tmp_path / "f.parquet")
    for who, whole in (("challenger", new), ("champion", old)):
        found = forecasts_of(kept, who)
        assert found is not None
        pd.testing.assert_frame_equal(found, whole, check_dtype=False)


def test_both_are_judged_from_the_same_moments() -> None:
    both = compare(side_by_side(forecasts(0.5), forecasts(-2.0)))
    assert both.champion
    assert (both.challenger.origins, both.challenger.rows) == (4, 96)
    assert both.challenger.ratios["seasonal_naive"] == pytest.approx({"1h": 0.5})
    assert both.champion.ratios["median_24h"] == pytest.approx({"1h": 0.5})
    assert both.coverage == (1.0, 0.0)
    assert both.error == pytest.approx(-0.75)
    assert both.nearer == 1.0
    turned = compare(side_by_side(forecasts(-2.0), forecasts(0.5)))
    assert turned.error == pytest.approx(3.0)
    assert turned.nearer == 0.0


def test_figures_and_error_are_those_of_the_gate() -> None:
    rng = np.random.default_rng(1)
    new, old = (forecasts(0.0).assign(value=lambda f: f["actual"] + rng.normal(0, 1, len(f))) for _ in range(2))
    judged = forecast_gate.compare(new, old, "champion version 1", seed=1)
    both = compare(side_by_side(new, old))
    assert both.challenger == judged.challenger_figures
    assert both.champion == judged.opponent_figures
    assert judged.error
    assert both.error == pytest.approx(judged.error.value)
    assert both.nearer == pytest.approx(
        ((new["value"] - new["actual"]).abs() < (old["value"] - old["actual"]).abs()).mean()
    )


def test_one_forecaster_twice_is_as_near_as_itself() -> None:
    both = compare(side_by_side(forecasts(0.5), forecasts(0.5)))
    assert (both.error, both.nearer) == (0.0, 0.5)


def test_steps_that_nobody_saw_are_nobodys_merit() -> None:
    new, old = forecasts(0.5), forecasts(-2.0)
    half = new["step"] % 2 == 0
    unseen = [frame.assign(actual=frame["actual"].where(half)) for frame in (new, old)]
    assert compare(side_by_side(unseen[0], unseen[1])).nearer == 1.0
    assert interval_sides(unseen[0])["step"].unique().tolist() == [2, 4, 6, 8, 10, 12]
    nothing = [frame.assign(actual=np.nan) for frame in (new, old)]
    both = compare(side_by_side(nothing[0], nothing[1]))
    assert (both.error, both.nearer, both.challenger.rows) == (None, None, 0)


def test_without_a_champion_its_columns_hold_nothing() -> None:
    frame = side_by_side(forecasts(0.5), None)
    assert frame["champion_value"].isna().all()
    both = compare(frame)
    assert (both.champion, both.error, both.nearer) == (None, None, None)
    assert both.coverage == (1.0, None)


def test_no_moment_at_all_is_no_error() -> None:
    empty = pd.DataFrame(columns=[*KEYS, *SIDES])
    both = compare(side_by_side(empty, empty))
    assert (both.challenger.rows, both.error, both.nearer, both.coverage) == (0, None, None, (None, None))
    assert (noise(empty, seed=1), by_metric(empty)) == ({}, {})
    assert_snapshot("shadow_without_forecasts", f"{summary_of([(True, both)])}\n")


@pytest.mark.parametrize("other", [forecasts(0.0, origins=3), forecasts(0.0).assign(metric="cpu")])
def test_other_moments_or_metrics_are_an_error(other: pd.DataFrame) -> None:
    with raises(ModelError, "other_moments"):
        side_by_side(forecasts(0.0), other)


def test_a_challenger_without_forecasts_is_an_error() -> None:
    frame = side_by_side(forecasts(0.0), None)
    frame.loc[1, "challenger_upper"] = np.inf
    with raises(ModelError, "not_finite"):
        compare(frame)


def test_each_metric_alone_and_where_its_values_came() -> None:
    frame = forecasts(0.5)
    memory = frame["metric"] == "memory"
    frame.loc[memory, "value"] += 2.5
    frame.loc[memory, ["lower", "upper"]] += 2.5  # all of it comes below
    assert by_metric(frame) == {
        "cpu": pytest.approx({"seasonal_naive": 0.5, "median_24h": 0.125}),
        "memory": pytest.approx({"seasonal_naive": 3.0, "median_24h": 0.75}),
    }
    shares = interval_sides(frame).groupby("metric")[["below", "inside", "above"]].mean()
    assert shares.to_dict("index") == {
        "cpu": {"below": 0.0, "inside": 1.0, "above": 0.0},
        "memory": {"below": 1.0, "inside": 0.0, "above": 0.0},
    }


def test_the_noise_of_a_forecasters_own_figures() -> None:
    rng = np.random.default_rng(1)
    frame = forecasts(0.0, origins=40)
    of_day = pd.Series(rng.uniform(0.2, 2.0, 40), index=frame["origin"].unique())
    frame["value"] = frame["actual"] + frame["origin"].map(of_day)
    found = noise(frame, seed=1)
    judged = figures_of(frame).as_metrics()
    assert set(found) == set(judged) == {"mae_to_seasonal_naive_1h", "mae_to_median_24h_1h", "coverage_1h"}
    for name in ("mae_to_seasonal_naive_1h", "mae_to_median_24h_1h"):
        assert found[name].value == pytest.approx(judged[name])
        assert 0 < found[name].low < found[name].value < found[name].high
    # 3 h between two moments: four of them a half day.
    first = frame["origin"].drop_duplicates()
    two, three = (frame[frame["origin"].isin(first[:moments])] for moments in (8, 9))
    assert noise(two, seed=1) == {}
    assert set(noise(three, seed=1)) == set(found)
    # As the gate has it, of all horizons together: here there is one.
    trivial = forecast_gate.compare(frame, frame, "itself", seed=1).trivial["seasonal_naive"]
    assert found["mae_to_seasonal_naive_1h"].low == pytest.approx(1 + trivial.low)


def beside(error: float | None, new: float = 0.84, old: float = 0.79, nearer: float = 0.6) -> ForecastsSideBySide:
    figures = [ForecastFigures(10, 1, {}, {"1h": share, "6h": share + 0.02}) for share in (new, old)]
    return ForecastsSideBySide(figures[0], figures[1], error, nearer)


def test_windows_are_counted_not_pooled() -> None:
    alone = ForecastsSideBySide(beside(0.0).challenger, None, None, None)
    windows = [
        (True, beside(-0.5)),
        (True, beside(1.0, nearer=0.3)),
        (True, beside(0.02)),
        (True, beside(None)),  # no hour follows
        (True, alone),  # the champion could not be asked
        (False, beside(0.5)),  # one model
    ]
    summaries = [summary_of(windows), summary_of([(False, beside(0.5))])]
    assert_snapshot("forecaster_shadows", "".join(f"{line}\n" for line in summaries))
