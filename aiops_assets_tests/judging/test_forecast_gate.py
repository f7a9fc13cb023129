"""Forecasts of a hold-out, how they are judged, and which forecaster is served."""

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import ModelError
from aiops_assets.families.backtests import FORECASTERS
from aiops_assets.judging.decision import Decision, Reason
from aiops_assets.judging.detection.task import DETECTION
from aiops_assets.judging.forecasting import gate as forecast_gate
from aiops_assets.judging.forecasting.holdout import (
    KEYS,
    SIDES,
    TRIVIAL_NAMES,
    errors_of,
    figures_of,
    holdout_forecasts,
    trivial_forecasts,
)
from aiops_assets.learners.contracts import Forecast
from aiops_assets.timeseries.history import History, history_of
from aiops_assets.views.cluster_metrics import VALUES, main_segment
from aiops_assets_tests.raising import raises
from aiops_assets_tests.views.cluster_rows import cluster_rows

DAY = 288
BOTH = ("seasonal_naive", "median_24h")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return cluster_rows()


class Oracle:
    """Knows what comes, and is off by a share of it."""

    def __init__(self, rows: pd.DataFrame, off: float = 0.0, width: float | None = None, seed: int = 0) -> None:
        self.truth = rows.set_index("timestamp")[list(VALUES)]
        self.off, self.width = off, 1.2816 * off if width is None else width
        self.rng = np.random.default_rng(seed)

    def fit(self, history: History) -> None: ...

    def forecast(self, history: History, horizon: int) -> Forecast:
        times = history.after(horizon)
        truth = self.truth.reindex(times).to_numpy()
        value = truth * (1 + self.off * self.rng.standard_normal(truth.shape))
        return Forecast(history.metrics, times, value, value * (1 - self.width), value * (1 + self.width))


def asked(rows: pd.DataFrame, off: float = 0.0, width: float | None = None, seed: int = 0) -> pd.DataFrame:
    return holdout_forecasts(Oracle(rows, off, width, seed), rows, VALUES)


def test_forecasts_stand_beside_what_came_and_what_the_trivial_ones_say(rows: pd.DataFrame) -> None:
    said = asked(rows)
    assert tuple(said.columns) == (*KEYS, *SIDES)
    assert said["value"].to_numpy() == pytest.approx(said["actual"].to_numpy())
    begin = rows.loc[rows["split"] == "holdout", "timestamp"].min()
    assert said["origin"].min() == begin - pd.Timedelta(minutes=5)
    assert said["timestamp"].min() == begin
    assert said["timestamp"].max() <= rows["timestamp"].max()
    one = said[(said["origin"] == said["origin"].max()) & (said["metric"] == "memory_usage")]
    truth = rows.set_index("timestamp")["memory_usage"]
    before = truth[truth.index <= one["origin"].iloc[0]]
    assert one["median_24h"].unique() == pytest.approx([before.iloc[-DAY:].median()])
    day_ago = truth.reindex(pd.DatetimeIndex(one["timestamp"]) - pd.Timedelta(days=1)).to_numpy()
    assert one["seasonal_naive"].to_numpy() == pytest.approx(day_ago)
    assert one["scale"].iloc[0] == pytest.approx(before.diff(DAY).abs().mean())


def test_nothing_after_an_origin_reaches_its_forecast(rows: pd.DataFrame) -> None:
    forecaster = FORECASTERS["last-value"](42)
    forecaster.fit(history_of(rows.loc[rows["split"] == "train", ["timestamp", *VALUES]]))
    said = holdout_forecasts(forecaster, rows, VALUES)
    late = rows["timestamp"] > said["origin"].min()
    changed = rows.assign(**{name: rows[name].where(~late, rows[name] * 3) for name in VALUES})
    again = holdout_forecasts(forecaster, changed, VALUES)
    first = said["origin"] == said["origin"].min()
    assert said.loc[first, list(SIDES)].equals(again.loc[first, list(SIDES)])
    assert not said.loc[~first, list(SIDES)].equals(again.loc[~first, list(SIDES)])


def test_figures_are_those_of_the_formula(rows: pd.DataFrame) -> None:
    said = asked(rows, off=0.05)
    figures = figures_of(said)
    logs = []
    for _, one in said.groupby(["origin", "metric"]):
        if one["step"].max() < 72:
            continue
        first = one[one["step"] <= 72]
        scale = 0.01 * one["scale"].iloc[0]
        error = (first["actual"] - first["value"]).abs().mean() + scale
        logs.append(np.log(error / ((first["actual"] - first["seasonal_naive"]).abs().mean() + scale)))
    assert figures.ratios["seasonal_naive"]["6h"] == pytest.approx(np.exp(np.mean(logs)))
    assert set(figures.as_metrics()) == {
        f"{name}_{label}"
        for name in ("mae_to_seasonal_naive", "mae_to_median_24h", "coverage")
        for label in ("1h", "6h", "24h")
    }
    assert figures.rows == len(said)


def test_gaps_in_what_came_are_not_judged(rows: pd.DataFrame) -> None:
    gap = rows["timestamp"] >= rows["timestamp"].max() - pd.Timedelta(hours=3)
    said = holdout_forecasts(Oracle(rows), rows.assign(cpu_usage=rows["cpu_usage"].where(~gap)), VALUES)
    missing = said[(said["metric"] == "cpu_usage") & said["actual"].isna()]
    assert len(missing)
    assert (missing["timestamp"] >= rows.loc[gap, "timestamp"].min()).all()
    assert errors_of(said)["error"].notna().all()
    assert figures_of(said).rows == len(said) - len(missing)


def test_a_short_hold_out_has_no_figure_of_a_day() -> None:
    figures = figures_of(asked(cluster_rows(3)))
    assert set(figures.coverage) == {"1h", "6h"}


def test_the_clusters_own_segment_comes_first() -> None:
    real, generated = cluster_rows(3, source="prometheus"), cluster_rows(8)
    own, others = main_segment(pd.concat([generated, real], ignore_index=True))
    assert own["source"].unique().tolist() == ["prometheus"]
    assert [len(other) for other in others] == [len(generated)]
    with pytest.raises(ModelError, match="no training rows"):
        main_segment(real[:0])


def compared(rows: pd.DataFrame, challenger: pd.DataFrame, opponent: pd.DataFrame) -> forecast_gate.ForecastComparison:
    return forecast_gate.compare(challenger, opponent, "champion version 1", 42)


def decided(comparison: forecast_gate.ForecastComparison, champion: str | None = "prometheus") -> tuple[bool, Reason]:
    decision = forecast_gate.decide(comparison, challenger_source="prometheus", champion_source=champion)
    return decision.promote, decision.because


def test_a_better_and_an_equal_challenger_are_served(rows: pd.DataFrame) -> None:
    for off in (0.03, 0.02):
        comparison = compared(rows, asked(rows, off, seed=1), asked(rows, 0.03, seed=2))
        promoted, reason = decided(comparison)
        assert promoted, reason
        assert reason.code == "not_worse_and_beats_trivial"
        assert (reason.facts["beaten"], reason.facts["ties"]) == (BOTH, False)
        assert reason.facts["opponent"] == "champion version 1"
    assert comparison.error
    assert comparison.error.high < 0


def test_a_worse_challenger_is_kept_out(rows: pd.DataFrame) -> None:
    promoted, reason = decided(compared(rows, asked(rows, 0.06, seed=1), asked(rows, 0.03, seed=2)))
    assert not promoted
    assert (reason.code, reason.facts["worse"]) == ("worse_than_opponent", ("mean absolute error",))


def test_one_that_loses_to_both_trivial_ones_is_never_served(rows: pd.DataFrame) -> None:
    hopeless = asked(rows, 2.0, width=3.0)
    for champion in (None, "prometheus"):
        promoted, reason = decided(compared(rows, hopeless, hopeless), champion)
        assert not promoted
        assert reason.code == "worse_than_trivial"
        assert all(found.value > 0 for found in reason.facts["figures"].trivial.values())


@pytest.mark.parametrize(("name", "lost"), [("median_24h", "seasonal_naive"), ("seasonal_naive", "median_24h")])
def test_one_that_beats_a_trivial_one_and_loses_to_the_other_is_not_served(name: str, lost: str) -> None:
    """A trivial forecaster, a little better than it is, where the other one has far smaller errors."""
    rows = cluster_rows()
    day = np.arange(len(rows)) / DAY
    wave = np.sin(2 * np.pi * day)
    noise = np.random.default_rng(5).normal(0, 0.3, len(rows))
    values = 1 + 0.5 * wave + 0.02 * noise if lost == "seasonal_naive" else 1 + 0.2 * noise
    rows = rows.assign(**dict.fromkeys(VALUES, values))
    said = trivial_forecasts(rows, VALUES, name)
    better = said.assign(value=0.95 * said["value"] + 0.05 * said["actual"], lower=0.0, upper=9.0)
    for champion in (None, "prometheus"):
        promoted, reason = decided(compared(rows, better, better), champion)
        assert not promoted
        assert (reason.code, reason.facts["lost"]) == ("loses_to_trivial", (lost,))


def test_what_is_proven_is_better_than_each_trivial_one_at_the_horizon(rows: pd.DataFrame) -> None:
    good = figures_of(asked(rows, 0.03)).as_metrics()
    assert forecast_gate.proven_horizons(good) == ("1h", "6h", "24h")
    assert forecast_gate.proven_horizons({**good, "mae_to_median_24h_24h": 0.99}) == ("1h", "6h")
    short = figures_of(asked(cluster_rows(3), 0.03)).as_metrics()
    assert forecast_gate.proven_horizons(short) == ("1h", "6h")
    assert forecast_gate.proven_horizons({}) == ()
    assert DETECTION.proven_horizons({}) == ()


def test_intervals_that_do_not_hold_are_refused(rows: pd.DataFrame) -> None:
    said = asked(rows, 0.03, width=0.0)
    promoted, reason = decided(compared(rows, said, said), None)
    assert not promoted
    assert (reason.code, reason.facts["inside"]) == ("intervals_too_narrow", 0.0)


def test_a_quiet_hold_out_and_a_still_cluster_leave_a_good_forecaster_served(rows: pd.DataFrame) -> None:
    wide = asked(rows, 0.03, width=1.0)
    assert decided(compared(rows, wide, wide), None)[0]
    promoted, reason = decided(compared(rows, wide, asked(rows, 0.03, seed=2)))
    assert not promoted
    assert (reason.code, reason.facts["worse"]) == ("worse_than_opponent", ("coverage",))
    still = rows.assign(**dict.fromkeys(VALUES, 0.5))
    said = asked(still)
    assert decided(compared(still, said, said), None)[0]


def test_forecasts_that_are_no_numbers_are_not_judged_on_the_rest(rows: pd.DataFrame) -> None:
    class Silent(Oracle):
        def forecast(self, history: History, horizon: int) -> Forecast:
            said = super().forecast(history, horizon)
            return Forecast(
                said.metrics, said.times, np.where(said.value > 0.2, np.nan, said.value), said.lower, said.upper
            )

    with raises(ModelError, "not_finite") as caught:
        holdout_forecasts(Silent(rows), rows, VALUES)
    assert str(caught.value.facts["origin"]) in str(caught.value)


def test_a_first_version_meets_the_trivial_ones(rows: pd.DataFrame) -> None:
    null = trivial_forecasts(rows, VALUES, "median_24h")
    comparison = forecast_gate.compare(asked(rows, 0.03), null, TRIVIAL_NAMES, 42)
    promoted, reason = decided(comparison, None)
    assert promoted
    assert (reason.code, reason.facts["saw"]) == ("first_beats_trivial", None)
    assert (reason.facts["beaten"], reason.facts["ties"]) == (BOTH, False)
    assert comparison.opponent_figures.ratios["median_24h"]["6h"] == pytest.approx(1.0)
    assert 0.3 < comparison.opponent_figures.coverage["6h"] <= 1.0


def test_generated_data_never_replaces_a_real_cluster(rows: pd.DataFrame) -> None:
    good = asked(rows, 0.01)
    comparison = compared(rows, good, asked(rows, 0.05, seed=2))
    decision = forecast_gate.decide(comparison, challenger_source="synthetic", champion_source="prometheus")
    assert decision == Decision(False, Reason("synthetic_after_real", champion_source="prometheus"))


def test_too_few_moments_keep_the_champion() -> None:
    rows = cluster_rows(3)
    late = rows["timestamp"] >= rows["timestamp"].max() - pd.Timedelta(hours=5)
    rows = rows.assign(split=np.where(late, "holdout", "train"))
    said = asked(rows, 0.01)
    promoted, reason = decided(compared(rows, said, said))
    assert not promoted
    assert reason.code == "too_few_origins"
    assert reason.facts["origins"] < forecast_gate.MIN_ORIGINS


def test_a_hold_out_without_an_hour_decides_nothing() -> None:
    rows = cluster_rows(2)
    holdout = rows.index[rows["split"] == "holdout"]
    short = rows.drop(holdout[11:])
    promoted, reason = decided(compared(short, asked(short), asked(short)), None)
    assert not promoted
    assert reason.code == "no_origin"
