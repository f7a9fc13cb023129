"""The card of a forecaster tells its errors, its intervals and its metrics, and nothing about anomalies."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from aiops_assets.families.arima_predictor import ARIMA_PREDICTOR
from aiops_assets.families.forecasters import HORIZON, METRICS
from aiops_assets.families.prophet_predictor import PROPHET_PREDICTOR
from aiops_assets.judging.forecasting.holdout import TRIVIAL_NAMES, frame_of
from aiops_assets.judging.forecasting.shadow import by_metric, noise, side_by_side
from aiops_assets.learners.contracts import Forecast
from aiops_assets.reporting import forecast_pictures
from aiops_assets.reporting.cards.rendering import card_files
from aiops_assets.reporting.cards.text import card_text
from aiops_assets_tests.reporting.forecast_subject import END, evaluation, forecasts, plain, subject

MAX_BYTES = 50_000
OF_DETECTION = re.compile(r"anomal|alert|incident|episode|false alarm", re.IGNORECASE)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return card_files(subject())


@pytest.fixture(scope="module")
def card(files: dict[str, bytes]) -> str:
    return files["card.md"].decode()


def drawn(png: bytes) -> Image.Image:
    """A picture that the UI shows, with more than a background and its text."""
    assert len(png) < MAX_BYTES
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    assert picture.width > 500
    assert len(picture.convert("RGB").getcolors() or []) > 5
    return picture


def row(card: str, name: str) -> list[str]:
    (line,) = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split(" | ")][1:]


def test_nothing_is_said_of_detection(card: str) -> None:
    # The manifest of the subject has a parameter of a detector's name.
    assert OF_DETECTION.findall(card.replace("alert_budget", "")) == []


@pytest.mark.parametrize("spec", [ARIMA_PREDICTOR, PROPHET_PREDICTOR], ids=lambda spec: spec.name)
def test_nor_of_other_forecasters(spec: object) -> None:
    card = card_text(subject(spec=spec))
    assert OF_DETECTION.findall(card.replace("alert_budget", "")) == []
    assert "One metric" not in card
    assert "one metric at" in card


def test_every_figure_is_there_beside_the_opponents(card: str) -> None:
    judged, own = evaluation(), noise(forecasts()[0], seed=42)
    for horizon in ("1h", "6h", "24h"):
        for name, who in (("seasonal_naive", "the seasonal naive"), ("median_24h", "the 24 h median")):
            figure, spread = f"mae_to_{name}_{horizon}", own[f"mae_to_{name}_{horizon}"]
            assert row(card, f"error to {who}'s, {horizon.replace('h', ' h')}") == [
                f"{judged.figures[figure]:.2f} ({spread.low:.2f} to {spread.high:.2f})",
                f"{judged.opponent_figures[figure]:.2f}",
                "-",
            ]
        share, spread = judged.figures[f"coverage_{horizon}"], own[f"coverage_{horizon}"]
        assert row(card, f"inside the 80 % interval, {horizon.replace('h', ' h')}") == [
            f"{share:.1%} ({spread.low:.1%} to {spread.high:.1%})",
            f"{judged.opponent_figures[f'coverage_{horizon}']:.1%}",
            "-",
        ]


def test_what_the_gate_looked_at_is_there(card: str) -> None:
    gaps = evaluation().gaps
    assert row(card, "error to the opponent's, all horizons")[2] == (
        f"{gaps['mae'].value:+.1%} ({gaps['mae'].low:+.1%} to {gaps['mae'].high:+.1%})"
    )
    assert row(card, "distance of the share inside from 80 %, all horizons")[2].startswith(
        f"{100 * gaps['miscoverage'].value:+.1f} pp ("
    )
    trivial = gaps["mae_to_median_24h"]
    assert row(card, "error to the 24 h median's, all horizons")[0] == (
        f"{1 + trivial.value:.2f} ({1 + trivial.low:.2f} to {1 + trivial.high:.2f})"
    )
    assert f"{evaluation().holdout_rows:,} values" in card
    assert "24 forecast origins" in card
    assert "Opponent: champion version 6." in card


def test_each_metric_has_its_line(card: str) -> None:
    found = by_metric(forecasts()[0])
    assert set(found) == set(METRICS)
    for metric, ratios in found.items():
        cells = row(card.partition("metric by metric")[2].partition("![")[0], f"`{metric}`")
        assert cells[:2] == [f"{ratio:.2f}" for ratio in ratios.values()]
        assert sum(float(cell.rstrip("%")) for cell in cells[2:]) == pytest.approx(100, abs=0.2)


def test_a_first_version_is_not_compared_twice_with_the_same() -> None:
    card = card_text(subject(evaluation=evaluation(TRIVIAL_NAMES)))
    assert f"Opponent: {TRIVIAL_NAMES} (" in card
    assert "the opponent's" not in card
    assert row(card, "error to the seasonal naive's, all horizons")


def test_its_rows_are_of_segments(card: str) -> None:
    data = card.partition("## Data")[2].partition("## Columns")[0]
    assert "| rows | 15,345 |" in data
    assert "| segments | cluster, synthetic-000 |" in data
    assert "| pods |" not in data


def test_equal_records_give_an_equal_card(files: dict[str, bytes]) -> None:
    assert card_files(subject()) == files


def test_pictures_are_named_in_the_card_and_small_enough_for_the_ui(files: dict[str, bytes]) -> None:
    assert sorted(files) == ["card.md", "figures.png", "forecasts.png", "reliability.png"]
    named = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", files["card.md"].decode())
    assert named == ["figures.png", "forecasts.png", "reliability.png"]
    for name in named:
        drawn(files[name])


def test_what_is_not_there_is_not_told() -> None:
    bare = card_files(subject(evaluation=None, training_set=None, scores=None, shadow=None))
    assert sorted(bare) == ["card.md", "figures.png"]
    card = bare["card.md"].decode()
    assert row(card, "error to the seasonal naive's, 1 h") == [
        f"{plain().manifest.metrics['mae_to_seasonal_naive_1h']:.2f}", "-", "-",
    ]  # fmt: skip
    assert "metric by metric" not in card


@pytest.mark.parametrize("last_hours", [0, 4, 6])
def test_a_short_holdout_still_makes_a_card(last_hours: int) -> None:
    whole = forecasts()[0]
    origin, steps = END - pd.Timedelta(hours=last_hours), 12 * last_hours
    short = whole[(whole["origin"] >= origin) & (whole["step"] <= steps)].reset_index(drop=True)
    found = subject(evaluation=None, scores=side_by_side(short, None))
    assert ("forecasts.png" in card_files(found)) == bool(last_hours)


def test_moments_that_share_no_hour_are_drawn() -> None:
    whole = forecasts()[0]
    steps = whole.groupby("origin")["step"].max()
    first, second = forecast_pictures.shown_origins(whole)
    assert (first, steps[first]) == (steps.index[0], HORIZON)
    assert second == min(origin for origin in steps.index if origin >= first + pd.Timedelta(days=1))
    # Nothing begins after what is forecast first, or too little.
    early = whole[whole["origin"] < second]
    assert forecast_pictures.shown_origins(early) == [first]
    late = whole[(whole["origin"] < second) | (whole["origin"] > END - pd.Timedelta(hours=5))]
    assert len(late) > len(early)
    assert forecast_pictures.shown_origins(late) == [first]


def test_the_opponents_median_changes_the_picture() -> None:
    new, old = forecasts()
    alone, both = forecast_pictures.fan_chart(new, "x"), forecast_pictures.fan_chart(new, "x", old)
    assert alone != both
    assert drawn(alone).size == drawn(both).size


def test_noise_makes_no_picture_that_the_ui_leaves_out() -> None:
    rng = np.random.default_rng(1)
    frame = forecasts()[0]
    noisy = frame.assign(**{side: frame[side] * rng.uniform(0.5, 2.0, len(frame)) for side in ("actual", "value")})
    assert len(forecast_pictures.fan_chart(noisy, "x")) <= 37_000


def test_a_forecast_of_which_nobody_knows_what_came() -> None:
    value = np.tile(np.linspace(0.2, 0.4, HORIZON)[:, np.newaxis], (1, len(METRICS)))
    times = pd.date_range(END, periods=HORIZON, freq="5min")
    drawn(forecast_pictures.probe_chart(frame_of(Forecast(METRICS, times, value, value - 0.1, value + 0.1)), "smoke"))


def test_reliability_shows_what_is_inside() -> None:
    frame = forecasts()[0]
    tall = drawn(forecast_pictures.reliability(frame, "x"))
    assert tall.size == drawn(forecast_pictures.reliability(frame.assign(lower=frame["value"]), "x")).size
    assert forecast_pictures.reliability(frame.assign(lower=frame["value"]), "x") != forecast_pictures.reliability(
        frame, "x"
    )
    one = frame[frame["metric"] == METRICS[0]]
    assert drawn(forecast_pictures.reliability(one, "x")).height < tall.height
