"""Choosing the constants of ensemble-predictor honestly: ``python -m aiops_assets_tests.benchmarks.tuning FOLDER``.

FOLDER holds labelled series, see :mod:`aiops_assets.timeseries.series_file`. For each set in turn, everything that is
tuned is chosen on the other sets and judged on this one: that is what a new cluster can expect. Then all is chosen on
all sets: that is what the package holds, and its figure flatters.

- Terms of the score: nine, added one at a time, each time the one with the best mean over the sets of VUS-PR (small
  buffers, which are quick).
- The alert rule: the best event F1 whose alerts take at most 0.8 % of normal time.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from aiops_assets.judging.detection.backtest import stream_order
from aiops_assets.judging.detection.series_figures import (
    DetectionFigures,
    Events,
    aggregate,
    buffer_samples,
    figures_of_frames,
    vus_pr,
)
from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.detectors.alert_rule import ALERT_BUDGET, RULE, Rule, alerts
from aiops_assets.learners.detectors.deviation_detector import Term, unusual_now
from aiops_assets.learners.detectors.deviation_scores import LEAST_TERM, MOST_TERM
from aiops_assets.learners.detectors.deviations import NOW
from aiops_assets.learners.detectors.ensemble import TERMS, EnsemblePredictor
from aiops_assets.timeseries.frames import Grid, cadence
from aiops_assets.timeseries.series import Floats
from aiops_assets.timeseries.series_file import LabelledSeries, labelled_folder, read_labels, read_series

OF_ALL = (
    "change",
    "new_change",
    "change_1d",
    "seasonal",
    "level",
    "new_level",
    "extreme",
    "volatility",
    "forecast_error",
)
OF_TOP = ("new_change", "volatility", "forecast_error", "new_level")
HOURS = (0.0, 1.5, 6.0)
CANDIDATES = tuple(
    Term(kind, over, hours) for kinds, over in ((OF_ALL, "all"), (OF_TOP, "top")) for kind in kinds for hours in HOURS
)
RULES = tuple(Rule(*one) for one in itertools.product((1.0, 1.5), (1.3, 1.6), (1.0, 2.0)))
N_TERMS = 9
"""Fewer, where one more gains nothing on the sets that it is chosen on, were worse on the set left out."""
QUICK_BUFFER = 1
MOST_TIME = 0.008


class Wide(EnsemblePredictor):
    """All candidates as terms."""

    terms = CANDIDATES
    kinds = tuple(dict.fromkeys((*(term.kind for term in CANDIDATES), *NOW)))


@dataclass
class Prepared:
    """A labelled series with each candidate's term of each row, in order of time."""

    name: str
    labels: pd.DataFrame
    times: pd.Series
    grid: Grid
    known: Flags
    terms: Floats
    trained: Floats
    now: Floats | None
    test: Flags
    truth: Flags
    buffer: int
    quick: dict[tuple[int, ...], float] = field(default_factory=dict)

    @property
    def of_set(self) -> str:
        return self.name.partition("__")[0]

    def ranking(self, chosen: tuple[int, ...]) -> float:
        """VUS-PR with small buffers of a sum of terms."""
        if chosen not in self.quick:
            score = self.terms[:, chosen].sum(axis=1)[self.grid.position]
            self.quick[chosen] = vus_pr(self.truth, score[self.test].astype(np.float64), min(self.buffer, QUICK_BUFFER))
        return self.quick[chosen]

    def figures(self, chosen: tuple[int, ...], rule: Rule) -> DetectionFigures:
        """All figures of a sum of terms with a rule."""
        score = self.terms[:, chosen].sum(axis=1).astype(np.float64)
        trained = np.sort(self.trained[:, chosen].sum(axis=1).astype(np.float64))
        score[~self.known] = trained[0]
        alert = alerts(score, self.now, trained, len(trained), self.grid, ALERT_BUDGET, rule) & self.known
        at = self.grid.position
        scored = pd.DataFrame({"timestamp": self.times, "score": score[at], "alert": alert[at]})
        return figures_of_frames(self.labels, scored)


def prepared(one: LabelledSeries) -> Prepared:
    """Fit on the train rows and compute all terms."""
    frame, labels = read_series(one.series), read_labels(one.labels)
    labels["timestamp"] = labels["timestamp"].astype(frame["timestamp"].dtype)
    truth = labels.drop_duplicates("timestamp").set_index("timestamp")
    stated = truth["split"].reindex(frame["timestamp"]).to_numpy()
    frame["split"] = pd.Series(stated, index=frame.index).fillna(frame["split"])
    order, train = stream_order(frame)
    stream = frame.iloc[order].reset_index(drop=True)
    columns = [name for name in frame.columns if name not in ("timestamp", "split")]
    detector = Wide(columns)
    detector.fit([stream[train]], cadence(stream.loc[train, "timestamp"].sort_values()))
    grid, terms, now = _read(detector, stream)
    trained_grid, trained, _ = _read(detector, stream[train])
    label = truth["label"].reindex(stream["timestamp"]).to_numpy()
    test = ~train & np.isfinite(label.astype(np.float64))
    flags = label[test] == 1
    return Prepared(
        name=one.name,
        labels=labels,
        times=stream["timestamp"],
        grid=grid,
        known=_known(grid),
        terms=terms,
        trained=trained[_known(trained_grid)],
        now=now,
        test=test,
        truth=flags,
        buffer=buffer_samples(Events.of(flags), grid.step_seconds),
    )


def _known(grid: Grid) -> Flags:
    return np.asarray(np.isfinite(grid.values).any(axis=1), dtype=bool)


def _read(detector: Wide, frame: pd.DataFrame) -> tuple[Grid, Any, Floats | None]:
    """The grid of a frame, its normalised terms (n_rows, n_candidates) float32, and what is unusual now."""
    calibration = detector._require_fitted()
    grid, ratios, terms = detector._terms(frame, calibration)
    normalised = np.clip((terms - calibration.middle) / calibration.spread, LEAST_TERM, MOST_TERM)
    return grid, normalised.astype(np.float32), unusual_now(ratios, calibration)


def mean_over_sets(series: Iterable[Prepared], values: Iterable[float]) -> float:
    """The plain mean over the sets of the mean over a set's series."""
    found = defaultdict(list)
    for one, value in zip(series, values, strict=True):
        found[one.of_set].append(value)
    return float(np.mean([np.mean(one) for one in found.values()]))


def chosen_terms(series: Sequence[Prepared]) -> tuple[int, ...]:
    """Nine terms, the best candidate beside those before in each step."""
    judged = [one for one in series if one.truth.any()]
    chosen: tuple[int, ...] = ()
    while len(chosen) < N_TERMS:
        more = [tuple(sorted((*chosen, i))) for i in range(len(CANDIDATES)) if i not in chosen]
        chosen = max((mean_over_sets(judged, (one.ranking(longer) for one in judged)), longer) for longer in more)[1]
    return chosen


def chosen_rule(series: Sequence[Prepared], chosen: tuple[int, ...]) -> Rule:
    """The rule with the best event F1 among those that keep to the time."""
    found = []
    for rule in RULES:
        macro = aggregate({one.name: one.figures(chosen, rule) for one in series}).macro
        if (macro.normal_time_under_alert or 0.0) <= MOST_TIME:
            found.append((macro.event_f1 or 0.0, rule.quantile_share, rule))
    return max(found, key=lambda one: one[:2])[2] if found else RULE


def _line(name: str, figures: DetectionFigures) -> str:
    numbers = (figures.vus_pr, figures.event_f1, figures.normal_time_under_alert, figures.false_alarms_per_day)
    return f"{name:14} " + "  ".join("   -" if one is None else f"{one:.3f}" for one in numbers)


def _words(chosen: tuple[int, ...], rule: Rule) -> str:
    terms = ", ".join(f"{CANDIDATES[i].kind}/{CANDIDATES[i].over}/{CANDIDATES[i].hours:g} h" for i in chosen)
    return f"               {terms}; {rule}"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Print the figures of each set by what was chosen on the others, their mean, and what all sets choose."""
    series = [prepared(one) for one in labelled_folder(folder)]
    shipped = tuple(CANDIDATES.index(term) for term in TERMS if term in CANDIDATES)
    print("set            VUS-PR  event F1  normal time under alert  false alarms a day")
    left_out: dict[str, DetectionFigures] = {}
    for name in dict.fromkeys(one.of_set for one in series):
        others = [one for one in series if one.of_set != name]
        chosen = chosen_terms(others)
        rule = chosen_rule(others, chosen)
        found = {one.name: one.figures(chosen, rule) for one in series if one.of_set == name}
        left_out |= found
        print(_line(name, aggregate(found).macro), _words(chosen, rule), sep="\n", flush=True)
    print(_line("left out", aggregate(left_out).macro), flush=True)
    chosen = chosen_terms(series)
    rule = chosen_rule(series, chosen)
    for what, terms, one_rule in (("all sets", chosen, rule), ("as shipped", shipped, RULE)):
        found = {one.name: one.figures(terms, one_rule) for one in series}
        print(_line(what, aggregate(found).macro), _words(terms, one_rule), sep="\n", flush=True)


if __name__ == "__main__":
    main()
