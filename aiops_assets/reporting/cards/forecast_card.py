"""What the card of a forecaster tells: its error beside that of trivial ones, and whether its intervals hold."""

from collections.abc import Mapping, Sequence

from aiops_assets.families.forecasters import BASELINE
from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.detection.shadow import CHALLENGER, CHAMPION
from aiops_assets.judging.forecasting.holdout import TRIVIAL, TRIVIAL_NAMES
from aiops_assets.judging.forecasting.shadow import by_metric, noise, said, where_it_came
from aiops_assets.judging.statements import Statement
from aiops_assets.reporting.cards.forecast_weaknesses import forecast_weaknesses
from aiops_assets.reporting.cards.markdown import code, table, text
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.reporting.forecast_pictures import fan_chart, reliability
from aiops_assets.reporting.pictures import Judged, figures_with_intervals
from aiops_assets.storage.records import EvaluationRecord

FORECASTS, RELIABILITY, FIGURES = "forecasts.png", "reliability.png", "figures.png"
SIDES = ("inside", "below", "above")
RATIO, COVERED = "mae_to_", "coverage_"
AS_GOOD = "as good as the trivial one"


class ForecastCard:
    """See :class:`~aiops_assets.reporting.cards.kinds.CardKind`."""

    captions: Mapping[str, str] = {
        FIGURES: "Errors to those of the trivial forecasters, beside the opponent's",
        FORECASTS: "Forecasts from the hold-out, and what came",
        RELIABILITY: "How many values come inside the 80 % intervals, and on which side the others",
    }

    def judged_on(self, subject: Subject, evaluation: EvaluationRecord) -> str:
        """See CardKind."""
        forecasts = None if subject.scores is None else said(subject.scores, CHALLENGER)
        moments = "" if forecasts is None else f", forecast from {forecasts['origin'].nunique()} moments"
        whose = f" (its column is of {TRIVIAL[BASELINE]})" if evaluation.opponent == TRIVIAL_NAMES else ""
        return (
            f"{evaluation.holdout_rows:,} values{moments}, as far ahead as the hold-out reaches and at most a day. "
            "An error is a mean absolute one, and a ratio of two the geometric mean over metrics and moments: below 1 "
            "is better than who forecasts what was a day before (the seasonal naive) or the median of the last 24 "
            f"hours. Opponent: {text(evaluation.opponent)}{whose}."
        )

    def name(self, figure: str) -> str:
        """See CardKind."""
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

    def shown(self, figure: str, value: float) -> str:
        """See CardKind."""
        return f"{value:.1%}" if figure.startswith(COVERED) else f"{value:.2f}"

    def signed(self, figure: str, value: float) -> str:
        """See CardKind: differences of errors are relative."""
        return f"{100 * value:+.1f} pp" if figure == "miscoverage" else f"{value:+.1%}"

    def further_rows(self, subject: Subject) -> Sequence[Sequence[str]]:
        """See CardKind: what the gate looks at, which is of all horizons together."""
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

    def further_lines(self, subject: Subject) -> list[str]:
        """See CardKind: metric by metric."""
        forecasts = None if subject.scores is None else said(subject.scores, CHALLENGER)
        if forecasts is None or forecasts.empty:
            return []
        sides = where_it_came(forecasts).groupby("metric")[list(SIDES)].mean().to_dict("index")
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

    def training_facts(self, subject: Subject) -> list[tuple[str, str]]:
        """See CardKind."""
        record = subject.training_set
        return [] if record is None else [("rows", f"{record.rows:,}"), ("segments", text(", ".join(record.pods)))]

    def weaknesses(self, subject: Subject) -> list[Statement]:
        """See CardKind."""
        forecasts = None if subject.scores is None else said(subject.scores, CHALLENGER)
        return forecast_weaknesses(subject.manifest, subject.evaluation, subject.figures, forecasts)

    def intervals(self, subject: Subject) -> dict[str, Difference]:
        """See CardKind."""
        forecasts = None if subject.scores is None else said(subject.scores, CHALLENGER)
        return {} if forecasts is None else noise(forecasts, subject.seed)

    def pictures(self, subject: Subject, intervals: Mapping[str, Difference]) -> dict[str, bytes]:
        """See CardKind."""
        drawn = {}
        if any(name.startswith(RATIO) for name in subject.figures):
            beside = subject.opponent_scores
            champion = None if beside is None else said(beside, CHAMPION)
            theirs = {} if champion is None else noise(champion, subject.seed)
            drawn[FIGURES] = figures_with_intervals(
                self._ratios(subject.figures, intervals),
                self._ratios(subject.opponent_figures, theirs),
                {self.name(name): gap for name, gap in _gaps(subject).items() if not name.startswith(RATIO)},
                title=subject.title,
                against=TRIVIAL[BASELINE] if subject.opponent == TRIVIAL_NAMES else subject.opponent,
                level=AS_GOOD,
            )
        forecasts = None if subject.scores is None else said(subject.scores, CHALLENGER)
        if forecasts is not None and len(forecasts):
            drawn[FORECASTS] = fan_chart(forecasts, subject.title)
            if forecasts["actual"].notna().any():
                drawn[RELIABILITY] = reliability(forecasts, subject.title)
        return drawn

    def _ratios(self, figures: Mapping[str, float], intervals: Mapping[str, Difference]) -> Judged:
        """Those by which lower is better; shares inside an interval have a picture of their own."""
        return {
            self.name(name): (value, intervals.get(name)) for name, value in figures.items() if name.startswith(RATIO)
        }


def _gaps(subject: Subject) -> dict[str, Difference]:
    """Without those to an opponent that is trivial itself: they stand there already."""
    among = [name for name in subject.gaps if name.startswith(RATIO) or subject.opponent != TRIVIAL_NAMES]
    return {name: subject.gaps[name] for name in among}
