"""What a card says against a forecaster follows from its figures and forecasts, and only from them."""

import pandas as pd
import pytest

from aiops_assets.judging.forecasting.holdout import SIDES
from aiops_assets.judging.statements import Statement
from aiops_assets.reporting.cards.forecast_weaknesses import forecast_weaknesses
from aiops_assets.storage.records import EvaluationRecord, Gap, SourceReport
from aiops_assets_tests.reporting.forecast_subject import evaluation, forecasts, plain
from aiops_assets_tests.snapshot import assert_snapshot

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
) -> list[Statement]:
    update = {"effective_source": effective, "source": SourceReport(coverage=1.0)}
    shown = {name: value for name, value in (GOOD | (figures or {})).items() if not name.endswith(without or "-")}
    return forecast_weaknesses(plain().manifest.model_copy(update=update), judged, shown, frame)


def codes(found: list[Statement]) -> list[str]:
    return [one.code for one in found]


def of(found: list[Statement], code: str) -> list[Statement]:
    return [one for one in found if one.code == code]


def test_a_good_one_has_none() -> None:
    assert said() == []
    assert said(judged=evaluation()) == []


WEAK: list[tuple[dict[str, float], str, dict[str, object]]] = [
    (
        {"mae_to_seasonal_naive_24h": 1.104},
        "loses_to_trivial",
        {"trivial": "seasonal_naive", "horizon": "24h", "ratio": 1.104},
    ),
    (
        {"mae_to_median_24h_1h": 1.01},
        "loses_to_trivial",
        {"trivial": "median_24h", "horizon": "1h", "ratio": 1.01},
    ),
    ({"coverage_6h": 0.74, "coverage_24h": 0.7}, "narrow_intervals", {"coverage": {"6h": 0.74, "24h": 0.7}}),
    ({"coverage_1h": 0.86}, "wide_intervals", {"coverage": {"1h": 0.86}}),
]


@pytest.mark.parametrize(("figures", "code", "facts"), WEAK)
def test_weak_figures(figures: dict[str, float], code: str, facts: dict[str, object]) -> None:
    (weak,) = said(figures)
    assert (weak.code, weak.facts) == (code, facts)


def test_figures_at_the_border_are_no_weakness() -> None:
    assert said({"mae_to_median_24h_1h": 1.0, "coverage_1h": 0.8499, "coverage_24h": 0.7501}) == []


def test_horizons_that_nobody_judged_are_named() -> None:
    for without, horizons in ((("_24h",), ["24h"]), (("_24h", "_6h"), ["6h", "24h"])):
        (weak,) = said(without=without)
        assert (weak.code, weak.facts) == ("unjudged_horizons", {"horizons": horizons})


def test_metrics_on_which_it_loses_are_named() -> None:
    frame = forecasts()[0]
    (weak,) = of(said(frame=frame), "loses_in_metric")
    assert (weak.facts["metric"], weak.facts["trivial"]) == ("memory_usage", "seasonal_naive")
    assert weak.facts["ratio"] == pytest.approx(1.12, abs=0.005)
    disks = frame["metric"] == "disk_usage"
    worse = frame.assign(value=frame["value"] + 0.2 * disks)
    found = [one.facts for one in of(said(frame=worse), "loses_in_metric") if one.facts["metric"] == "disk_usage"]
    assert [facts["trivial"] for facts in found] == ["seasonal_naive", "median_24h"]


def test_an_interval_that_is_lopsided_is_named() -> None:
    frame = forecasts()[0]
    above = frame.assign(**{side: frame[side] * 1.5 for side in SIDES})
    found = of(said(frame=above), "lopsided_interval")
    assert len(found) == frame["metric"].nunique()
    assert found[0].facts["metric"] == "cpu_usage"
    assert found[0].facts["below"] > found[0].facts["above"]
    assert "disk_usage" not in {one.facts["metric"] for one in of(said(frame=frame), "lopsided_interval")}


def test_few_moments_say_little() -> None:
    frame = forecasts()[0]
    moments = frame["origin"].drop_duplicates().sort_values()
    few, enough = (frame[frame["origin"].isin(moments[:n])] for n in (15, 16))
    (weak,) = of(said(frame=few), "few_origins")
    assert weak.facts == {"origins": 15}
    assert not of(said(frame=enough), "few_origins")


@pytest.mark.parametrize(
    ("gap", "sure"),
    [
        (Gap(value=0.05, low=-0.1, high=0.1), [False]),
        (Gap(value=0.05, low=0.01, high=0.1), [True]),
        (Gap(value=0.02, low=0.01, high=0.03), []),
        (Gap(value=-0.5, low=-0.6, high=-0.4), []),
    ],
)
def test_one_that_errs_more_than_its_opponent(gap: Gap, sure: list[bool]) -> None:
    found = said(judged=evaluation().model_copy(update={"gaps": {"mae": gap}}))
    assert [(one.code, one.facts) for one in found] == [
        ("worse_than_opponent", {"opponent": "champion version 6", "difference": 0.05, "is_sure": is_sure})
        for is_sure in sure
    ]


def test_generated_series_are_no_cluster() -> None:
    judged = evaluation().model_copy(update={"effective_source": "synthetic"})
    assert codes(said(judged=judged, effective="synthetic")) == ["judged_by_generated", "generated_rows"]


def test_the_wordings_are_those_that_were_agreed() -> None:
    frame = forecasts()[0]
    above = frame.assign(**{side: frame[side] * 1.5 for side in SIDES})
    few = frame[frame["origin"].isin(frame["origin"].drop_duplicates().sort_values()[:15])]
    judged = [
        evaluation().model_copy(update={"gaps": {"mae": Gap(value=0.05, low=low, high=0.1)}, "effective_source": by})
        for low, by in ((-0.1, "synthetic"), (0.01, "prometheus"))
    ]
    found = [
        *(one for figures, _, _ in WEAK for one in said(figures)),
        *(one for record in judged for one in said(judged=record)),
        of(said(frame=above), "loses_in_metric")[0],
        of(said(frame=above), "lopsided_interval")[0],
        *of(said(frame=few), "few_origins"),
        *said(without=("_24h", "_6h")),
    ]
    wordings = dict.fromkeys(f"{one.code}: {one.text}" for one in found)
    assert_snapshot("forecaster_weaknesses", "".join(f"{line}\n" for line in wordings))
