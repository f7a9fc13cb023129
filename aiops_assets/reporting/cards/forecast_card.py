"""The card of a forecaster: its error beside those of trivial ones, and the coverage of its intervals."""

from collections.abc import Mapping, Sequence

from typing_extensions import override

from aiops_assets.families.forecasters import BASELINE
from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.detection.shadow import CHALLENGER, CHAMPION
from aiops_assets.judging.forecasting.holdout import TRIVIAL, TRIVIAL_NAMES
from aiops_assets.judging.forecasting.shadow import by_metric, forecasts_of, interval_sides, noise
from aiops_assets.judging.statements import Statement
from aiops_assets.reporting.cards.forecast_weaknesses import forecast_weaknesses
from aiops_assets.reporting.cards.markdown import code, table, text
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.reporting.forecast_pictures import fan_chart, reliability
from aiops_assets.reporting.pictures import Judged, figures_with_intervals
from aiops_assets.reporting.task_report import CardReport
from aiops_assets.storage.records import EvaluationRecord

FORECASTS, RELIABILITY, FIGURES = "forecasts.png", "reliability.png", "figures.png"
SIDES = ("inside", "below", "above")
RATIO, COVERED = "mae_to_", "coverage_"
AS_GOOD = "as good as the baseline"


class ForecastCard(CardReport):
    """The parts of a model card that only forecasters have."""

    captions: Mapping[str, str] = {
        FIGURES: "Errors relative to the baselines', beside the opponent's",
        FORECASTS: "Forecasts from the hold-out, and actual values",
        RELIABILITY: "Share of values inside the 80 % intervals, and on which side the others are",
    }

    @override
    def judged_on(self, subject: Subject, evaluation: EvaluationRecord) -> str:
        forecasts = None if subject.scores is None else forecasts_of(subject.scores, CHALLENGER)
        origins = "" if forecasts is None else f" from {forecasts['origin'].nunique()} forecast origins"
        whose = f" (its column has the figures of {TRIVIAL[BASELINE]})" if evaluation.opponent == TRIVIAL_NAMES else ""
        return (
            f"{evaluation.holdout_rows:,} values{origins}, as far ahead as the hold-out reaches and at most a day. "
            "Errors are mean absolute errors; a ratio of two is the geometric mean over metrics and forecast origins. "
            "Below 1 is better than the baseline: the seasonal naive (the value of a day ago) or the median of the "
            f"last 24 hours. Opponent: {text(evaluation.opponent)}{whose}."
        )

    @override
    def name(self, figure: str) -> str:
        what, _, horizon = figure.rpartition("_")
        ahead = horizon.replace("h", " h")
        if what == COVERED.rstrip("_"):
            return f"inside the 80 % interval, {ahead}"
        if what.removeprefix(RATIO) in TRIVIAL:
            return f"error to {TRIVIAL[what.removeprefix(RATIO)]}'s, {ahead}"
        if figure.removeprefix(RATIO) in TRIVIAL:
            return f"error to {TRIVIAL[figure.removeprefix(RATIO)]}'s"
        return {"mae": "error to the opponent's", "miscoverage": "distance of the share inside from 80 %"}.get(
            figure, figure.replace("_", " ")
        )

    @override
    def shown(self, figure: str, value: float) -> str:
        return f"{value:.1%}" if figure.startswith(COVERED) else f"{value:.2f}"

    @override
    def signed(self, figure: str, value: float) -> str:
        """Differences of errors are relative."""
        return f"{100 * value:+.1f} pp" if figure == "miscoverage" else f"{value:+.1%}"

    @override
    def further_rows(self, subject: Subject) -> Sequence[Sequence[str]]:
        """The figures on which the gate decides, of all horizons together."""
        rows = []
        for name, gap in _gaps(subject).items():
            if name.startswith(RATIO):
                ratio = f"{1 + gap.value:.2f} ({1 + gap.low:.2f} to {1 + gap.high:.2f})"
                rows.append([f"{text(self.name(name))}, all horizons", ratio, "-", "-"])
            else:
                sides = f"{self.signed(name, gap.low)} to {self.signed(name, gap.high)}"
                rows.append(
                    [f"{text(self.name(name))}, all horizons", "-", "-", f"{self.signed(name, gap.value)} ({sides})"]
                )
        return rows

    @override
    def further_lines(self, subject: Subject) -> list[str]:
        """A table of errors and coverage by metric."""
        forecasts = None if subject.scores is None else forecasts_of(subject.scores, CHALLENGER)
        if forecasts is None or forecasts.empty:
            return []
        sides = interval_sides(forecasts).groupby("metric")[list(SIDES)].mean().to_dict("index")
        rows = [
            [
                code(metric),
                *(f"{ratio:.2f}" for ratio in ratios.values()),
                *(f"{sides[metric][side]:.1%}" for side in SIDES),
            ]
            for metric, ratios in by_metric(forecasts).items()
        ]
        head = ["metric", *(f"error to {who}'s" for who in TRIVIAL.values()), "inside", "below", "above the interval"]
        return ["", "All horizons together, metric by metric:", "", *table(head, rows)] if rows else []

    @override
    def training_facts(self, subject: Subject) -> list[tuple[str, str]]:
        record = subject.training_set
        return [] if record is None else [("rows", f"{record.rows:,}"), ("segments", text(", ".join(record.pods)))]

    @override
    def weaknesses(self, subject: Subject) -> list[Statement]:
        forecasts = None if subject.scores is None else forecasts_of(subject.scores, CHALLENGER)
        return forecast_weaknesses(subject.manifest, subject.evaluation, subject.figures, forecasts)

    @override
    def intervals(self, subject: Subject) -> dict[str, Difference]:
        forecasts = None if subject.scores is None else forecasts_of(subject.scores, CHALLENGER)
        return {} if forecasts is None else noise(forecasts, subject.seed)

    @override
    def pictures(self, subject: Subject, intervals: Mapping[str, Difference]) -> dict[str, bytes]:
        drawn = {}
        if any(name.startswith(RATIO) for name in subject.figures):
            beside = subject.opponent_scores
            champion = None if beside is None else forecasts_of(beside, CHAMPION)
            theirs = {} if champion is None else noise(champion, subject.seed)
            drawn[FIGURES] = figures_with_intervals(
                self._ratios(subject.figures, intervals),
                self._ratios(subject.opponent_figures, theirs),
                {self.name(name): gap for name, gap in _gaps(subject).items() if not name.startswith(RATIO)},
                title=subject.title,
                against=TRIVIAL[BASELINE] if subject.opponent == TRIVIAL_NAMES else subject.opponent,
                level=AS_GOOD,
            )
        forecasts = None if subject.scores is None else forecasts_of(subject.scores, CHALLENGER)
        if forecasts is not None and len(forecasts):
            drawn[FORECASTS] = fan_chart(forecasts, subject.title)
            if forecasts["actual"].notna().any():
                drawn[RELIABILITY] = reliability(forecasts, subject.title)
        return drawn

    def _ratios(self, figures: Mapping[str, float], intervals: Mapping[str, Difference]) -> Judged:
        """Ratios of errors by name; coverage has a picture of its own."""
        return {
            self.name(name): (value, intervals.get(name)) for name, value in figures.items() if name.startswith(RATIO)
        }


def _gaps(subject: Subject) -> dict[str, Difference]:
    """Differences to the opponent; to trivial opponents the ratios only, which say the same."""
    among = [name for name in subject.gaps if name.startswith(RATIO) or subject.opponent != TRIVIAL_NAMES]
    return {name: subject.gaps[name] for name in among}
