"""What a card says against a forecaster follows from its figures and forecasts, and only from them."""

import pandas as pd
import pytest

from aiops_assets.judging.forecasting.holdout import SIDES
from aiops_assets.reporting.cards.forecast_weaknesses import forecast_weaknesses
from aiops_assets.storage.records import EvaluationRecord, Gap, SourceReport
from aiops_assets_tests.reporting.forecast_subject import evaluation, forecasts, plain

GOOD = {
    **{f"mae_to_{name}_{label}": 0.7 for name in ("seasonal_naive", "median_24h") for label in ("1h", "6h", "24h")},
    **dict.fromkeys(("coverage_1h", "coverage_6h", "coverage_24h"), 0.8),
}


def said(
    figures: dict[str, float] | None = None,
    judged: EvaluationRecord | None = None,
    frame: pd.DataFrame | None = None,
    without: tuple[str, ...] = (),
    effective: str = "prometheus",
) -> list[str]:
    update = {"effective_source": effective, "source": SourceReport(coverage=1.0)}
    shown = {name: value for name, value in (GOOD | (figures or {})).items() if not name.endswith(without or "-")}
    return forecast_weaknesses(plain().manifest.model_copy(update=update), judged, shown, frame)


def test_a_good_one_has_none() -> None:
    assert said() == []
    assert said(judged=evaluation()) == []


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        (
            {"mae_to_seasonal_naive_24h": 1.104},
            "It loses to the seasonal naive in the first 24 hours: its error is 1.10 of that.",
        ),
        ({"mae_to_median_24h_1h": 1.01}, "It loses to the 24 h median in the first hour: its error is 1.01 of that."),
        (
            {"coverage_6h": 0.74, "coverage_24h": 0.7},
            "Its 80 % intervals are narrower than they say: 74% of the values come inside in the first 6 hours, 70% of "
            "the values come inside in the first 24 hours.",
        ),
        (
            {"coverage_1h": 0.86},
            "Its 80 % intervals are wider than they need be: 86% of the values come inside in the first hour.",
        ),
    ],
)
def test_weak_figures(figures: dict[str, float], sentence: str) -> None:
    assert said(figures) == [sentence]


def test_figures_at_the_border_are_no_weakness() -> None:
    assert said({"mae_to_median_24h_1h": 1.0, "coverage_1h": 0.8499, "coverage_24h": 0.7501}) == []


def test_horizons_that_nobody_judged_are_named() -> None:
    assert said(without=("_24h",)) == ["It was never judged 24 h ahead: the hold-out is too short for that."]
    assert said(without=("_24h", "_6h"))[0].startswith("It was never judged 6 h, 24 h ahead")


def test_metrics_on_which_it_loses_are_named() -> None:
    frame = forecasts()[0]
    assert [line for line in said(frame=frame) if line.startswith("Of ")] == [
        "Of memory_usage it loses to the seasonal naive: its error is 1.12 of that, all horizons together."
    ]
    disks = frame["metric"] == "disk_usage"
    worse = frame.assign(value=frame["value"] + 0.2 * disks)
    assert [line.partition(":")[0] for line in said(frame=worse) if line.startswith("Of disk")] == [
        "Of disk_usage it loses to the seasonal naive",
        "Of disk_usage it loses to the 24 h median",
    ]


def test_an_interval_that_is_lopsided_is_named() -> None:
    frame = forecasts()[0]
    above = frame.assign(**{side: frame[side] * 1.5 for side in SIDES})
    found = [line for line in said(frame=above) if "lopsided" in line]
    assert len(found) == frame["metric"].nunique()
    assert found[0].startswith("The interval of cpu_usage is lopsided: ")
    assert not [line for line in said(frame=frame) if "interval of disk_usage" in line]


def test_few_moments_say_little() -> None:
    frame = forecasts()[0]
    moments = frame["origin"].drop_duplicates().sort_values()
    few, enough = (frame[frame["origin"].isin(moments[:n])] for n in (15, 16))
    assert "It was judged from 15 moments: too few to say how good it is." in said(frame=few)
    assert not any("moments" in line for line in said(frame=enough))


@pytest.mark.parametrize(
    ("gap", "ends"),
    [
        (Gap(value=0.05, low=-0.1, high=0.1), ["by 5.0%, which may be noise."]),
        (Gap(value=0.05, low=0.01, high=0.1), ["by 5.0%, beyond the noise."]),
        (Gap(value=0.02, low=0.01, high=0.03), []),
        (Gap(value=-0.5, low=-0.6, high=-0.4), []),
    ],
)
def test_one_that_errs_more_than_its_opponent(gap: Gap, ends: list[str]) -> None:
    found = said(judged=evaluation().model_copy(update={"gaps": {"mae": gap}}))
    assert found == [f"Its error is larger than that of champion version 6: {end}" for end in ends]


def test_generated_series_are_no_cluster() -> None:
    judged = evaluation().model_copy(update={"effective_source": "synthetic"})
    assert said(judged=judged, effective="synthetic") == [
        "It was judged by generated series only: nobody has seen it forecast a real cluster.",
        "It never saw a real cluster: all its rows were generated.",
    ]
