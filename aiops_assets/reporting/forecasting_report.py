"""Pictures and tables of forecasters."""

from collections.abc import Mapping, Sequence

import pandas as pd
from typing_extensions import override

from aiops_assets.judging.detection.shadow import CHALLENGER, CHAMPION
from aiops_assets.judging.forecasting import shadow as forecast_shadow
from aiops_assets.judging.forecasting.holdout import HORIZON_HOURS, TRIVIAL
from aiops_assets.judging.forecasting.shadow import ForecastsSideBySide
from aiops_assets.judging.task import HoldoutFigures
from aiops_assets.reporting import plots, previews
from aiops_assets.reporting.cards.forecast_card import AS_GOOD, RATIO, ForecastCard
from aiops_assets.reporting.detection_report import titles
from aiops_assets.reporting.forecast_pictures import fan_chart, probe_chart
from aiops_assets.reporting.task_report import CardReport, ShadowWindows, TaskReport, cell_text, window_facts
from aiops_assets.storage.shadow import ShadowRecord

WINDOW_HEAD = (
    "ORIGINS",
    "TO SEASONAL 1H",
    "6H",
    "24H",
    "CHAMPION'S 1H",
    "6H",
    "24H",
    "ERROR TO CHAMPION'S",
    "NEARER",
    "INSIDE 80 %",
    "CHAMPION'S",
)


class ForecastingReport(TaskReport[pd.DataFrame]):
    """Pictures and tables of forecasters."""

    card: CardReport = ForecastCard()

    @override
    def holdout_picture(self, predictions: pd.DataFrame, rows: pd.DataFrame, threshold: float | None) -> bytes:
        """A fan chart of forecasts."""
        return fan_chart(predictions, "forecasts from the hold-out")

    @override
    def holdout_preview(self, predictions: pd.DataFrame, rows: pd.DataFrame) -> str:
        """Actual values of the first metric in order of time; those outside the 80 % interval are marked."""
        if predictions.empty:
            return ""
        first = predictions[predictions["metric"] == predictions["metric"].iloc[0]].sort_values("timestamp")
        actual = first["actual"]
        return previews.timeline(actual, (actual < first["lower"]) | (actual > first["upper"]))

    @override
    def probe(self, prediction: pd.DataFrame, threshold: float | None) -> tuple[dict[str, float], bytes]:
        """A forecast after a healthy week; there are no figures."""
        return {}, probe_chart(prediction, "smoke inference: the day after a week with a clean season")

    @override
    def counts(self, figures: HoldoutFigures) -> dict[str, int]:
        return {"holdout_rows": figures.rows}

    @override
    def decision_picture(self, figures: Mapping[str, Mapping[str, float]], title: str) -> bytes:
        """Errors alone, for which lower is better and values above 1 are possible."""
        errors = {
            who: {name: value for name, value in side.items() if name.startswith(RATIO)}
            for who, side in figures.items()
        }
        return plots.figure_bars(errors, title, AS_GOOD)

    @override
    def summary(self, metrics: Mapping[str, float]) -> str:
        labels = [label for label in HORIZON_HOURS if f"coverage_{label}" in metrics]
        if not labels:
            return "no forecast origin with an hour of samples after it: nothing to judge by"
        errors = [
            f"error to {who}'s {_slashed(metrics, f'mae_to_{name}', labels, '.2f')}" for name, who in TRIVIAL.items()
        ]
        inside = _slashed(metrics, "coverage", labels, ".0%")
        hours = " / ".join(label.replace("h", "") for label in labels)
        return f"{', '.join(errors)}, inside the 80 % interval {inside} ({hours} h ahead)"

    @override
    def shadow(self, record: ShadowRecord, frame: pd.DataFrame) -> tuple[dict[str, float | None], bytes]:
        """Figures and fan chart of challenger and champion; without a forecast origin there is no picture."""
        both = forecast_shadow.compare(frame)
        sides = ((CHALLENGER, both.challenger), (CHAMPION, both.champion))
        figures: dict[str, float | None] = {"error_to_champion": both.error, "challenger_nearer": both.nearer}
        for who, found in sides:
            figures |= {f"{who}_{name}": value for name, value in found.as_metrics().items()} if found else {}
        challenger = forecast_shadow.forecasts_of(frame, CHALLENGER)
        if challenger is None or challenger.empty:
            return figures, b""
        shown = titles(record, are_two=both.champion is not None)
        champion = forecast_shadow.forecasts_of(frame, CHAMPION) if CHAMPION in shown else None
        return figures, fan_chart(challenger, ", beside ".join(shown.values()), champion)

    @override
    def shadow_preview(self, frame: pd.DataFrame) -> str:
        """Errors of both to the seasonal naive's, by horizon: the shorter bar is the better one."""
        both = forecast_shadow.compare(frame)
        sides = [
            {f"error {label}": value for label, value in one.ratios["seasonal_naive"].items()} if one else {}
            for one in (both.challenger, both.champion)
        ]
        return previews.bars(*sides)

    @override
    def windows(self, kept: Sequence[tuple[ShadowRecord, pd.DataFrame]]) -> ShadowWindows:
        """Errors of both to the seasonal naive's and to each other's, and shares inside their intervals."""
        found = [(record, forecast_shadow.compare(frame)) for record, frame in kept]
        return ShadowWindows(
            WINDOW_HEAD,
            [_cells(both) for _, both in found],
            [_facts(record, both) for record, both in found],
            forecast_shadow.summary_of([(record.is_pair, both) for record, both in found]),
        )


def _cells(both: ForecastsSideBySide) -> tuple[str, ...]:
    ratios = [figures.ratios["seasonal_naive"] if figures else {} for figures in (both.challenger, both.champion)]
    inside = both.coverage
    return (
        str(both.challenger.origins),
        *(cell_text(by_horizon.get(label), "{:.2f}") for by_horizon in ratios for label in HORIZON_HOURS),
        cell_text(both.error, "{:+.1%}"),
        cell_text(both.nearer, "{:.1%}"),
        *(cell_text(share, "{:.1%}") for share in inside),
    )


def _facts(record: ShadowRecord, both: ForecastsSideBySide) -> dict[str, object]:
    counts = {"rows": both.challenger.rows, "origins": both.challenger.origins}
    return window_facts(record, both, counts, {"error": both.error, "nearer": both.nearer})


def _slashed(metrics: Mapping[str, float], name: str, labels: list[str], form: str) -> str:
    return " / ".join(format(metrics[f"{name}_{label}"], form) for label in labels)
