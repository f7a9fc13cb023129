"""Choosing the constants of ensemble-predictor honestly: ``python -m aiops_assets_tests.benchmarks.tuning FOLDER``.

FOLDER holds labelled series, see :mod:`aiops_assets.timeseries.series_file`. For each set in turn, everything that is
tuned is chosen on the other sets and judged on this one: that is what a new cluster can expect. Then all is chosen on
all sets: that is what the package holds, and its figure flatters.

- Weights of the terms: all begin with 1, and sixteen times the weight is raised that helps most, by the mean over the
  sets (ensemble selection with a start and with replacement: Caruana et al., "Ensemble Selection from Libraries of
  Models", ICML 2004). What is compared is close to VUS-PR without buffers, on rows that are thinned.
- The alert rule: the best event F1 whose alerts take at most 0.8 % of normal time.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
)
from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.detectors.alert_rule import ALERT_BUDGET, RULE, Rule, alerts
from aiops_assets.learners.detectors.deviation_detector import unusual_now
from aiops_assets.learners.detectors.deviation_scores import LEAST_TERM, MOST_TERM
from aiops_assets.learners.detectors.ensemble import TERMS, EnsemblePredictor
from aiops_assets.timeseries.frames import Grid, cadence
from aiops_assets.timeseries.series import Floats
from aiops_assets.timeseries.series_file import LabelledSeries, labelled_folder, read_labels, read_series

RULES = tuple(Rule(*one) for one in itertools.product((1.0, 1.5), (1.3, 1.6), (1.0, 2.0)))
N_RAISES = 16
"""With 0 all weights are equal. Nine terms, picked one by one, were worse on the set left out."""
KEPT_ROWS = 1500
"""About so many rows of a series that are not near an event stand for all of them while weights are chosen."""
MOST_TIME = 0.008


Weights = tuple[float, ...]


class Thinned:
    """Some rows of a labelled series that has events: all rows near them, and evenly spaced ones of the others."""

    def __init__(self, terms: Floats, truth: Flags, buffer: int) -> None:
        events = Events.of(truth)
        near = events.widened(buffer // 2)
        others = np.flatnonzero(~near)
        others = others[:: max(1, -(-len(others) // KEPT_ROWS))]
        counts = near.astype(np.float64)
        counts[others] = (~near).sum() / max(len(others), 1)
        kept = np.flatnonzero(counts)
        self._terms, self._counts, self._truth = terms[kept], counts[kept], truth[kept]
        self._bounds = np.searchsorted(kept, np.column_stack([events.starts, events.stops]).ravel())
        self._found: dict[Weights, float] = {}

    def ranking(self, weights: Weights) -> float:
        """Average precision of a weighted sum of terms, where recall counts as far as events are touched, too."""
        if weights not in self._found:
            score = self._terms @ np.array(weights, dtype=np.float32)
            order = np.argsort(-score, kind="stable")
            hits, found = np.cumsum(self._truth[order]), np.cumsum(self._counts[order])
            highest = np.sort(np.maximum.reduceat(np.append(score, -np.inf), self._bounds)[::2])
            touched = 1 - np.searchsorted(highest, score[order], side="left") / len(highest)
            recall = hits / hits[-1] * touched
            self._found[weights] = float(np.diff(recall, prepend=0.0) @ (hits / found))
        return self._found[weights]


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
    thinned: Thinned | None

    @property
    def of_set(self) -> str:
        return self.name.partition("__")[0]

    def figures(self, weights: Weights, rule: Rule) -> DetectionFigures:
        """All figures of a weighted sum of terms with a rule."""
        by = np.array(weights, dtype=np.float32)
        score, trained = (self.terms @ by).astype(np.float64), np.sort((self.trained @ by).astype(np.float64))
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
    detector = EnsemblePredictor(columns)
    detector.fit([stream[train]], cadence(stream.loc[train, "timestamp"].sort_values()))
    grid, terms, now = _read(detector, stream)
    trained_grid, trained, _ = _read(detector, stream[train])
    label = truth["label"].reindex(stream["timestamp"]).to_numpy()
    test = ~train & np.isfinite(label.astype(np.float64))
    flags = label[test] == 1
    known = _known(grid)
    buffer = buffer_samples(Events.of(flags), grid.step_seconds)
    seen = np.where(known[:, np.newaxis], terms, LEAST_TERM)[grid.position][test]
    return Prepared(
        name=one.name,
        labels=labels,
        times=stream["timestamp"],
        grid=grid,
        known=known,
        terms=terms,
        trained=trained[_known(trained_grid)],
        now=now,
        thinned=Thinned(seen, flags, buffer) if flags.any() else None,
    )


def _known(grid: Grid) -> Flags:
    return np.asarray(np.isfinite(grid.values).any(axis=1), dtype=bool)


def _read(detector: EnsemblePredictor, frame: pd.DataFrame) -> tuple[Grid, Any, Floats | None]:
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


def chosen_weights(series: Sequence[Prepared]) -> Weights:
    """Of each candidate: all begin with 1, and each time the one that helps most is raised."""
    judged = [(one, one.thinned) for one in series if one.thinned is not None]
    weights: Weights = (1.0,) * len(TERMS)
    for _ in range(N_RAISES):
        raised = [(*weights[:i], weights[i] + 1, *weights[i + 1 :]) for i in range(len(weights))]
        found = [mean_over_sets((one for one, _ in judged), (it.ranking(more) for _, it in judged)) for more in raised]
        weights = raised[int(np.argmax(found))]
    return weights


def chosen_rule(series: Sequence[Prepared], weights: Weights) -> Rule:
    """The rule with the best event F1 among those that keep to the time."""
    found = []
    for rule in RULES:
        macro = aggregate({one.name: one.figures(weights, rule) for one in series}).macro
        if (macro.normal_time_under_alert or 0.0) <= MOST_TIME:
            found.append((macro.event_f1 or 0.0, rule.quantile_share, rule))
    return max(found, key=lambda one: one[:2])[2] if found else RULE


def _line(name: str, figures: DetectionFigures) -> str:
    numbers = (figures.vus_pr, figures.event_f1, figures.normal_time_under_alert, figures.false_alarms_per_day)
    return f"{name:14} " + "  ".join("   -" if one is None else f"{one:.3f}" for one in numbers)


def _words(weights: Weights, rule: Rule) -> str:
    raised = [(term, weight) for term, weight in zip(TERMS, weights, strict=True) if weight != 1]
    terms = ", ".join(f"{term.kind}/{term.over}/{term.hours:g} h {weight:g}" for term, weight in raised)
    return f"               {terms}; {rule}"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Print the figures of each set by what was chosen on the others, their mean, and what all sets choose."""
    series = [prepared(one) for one in labelled_folder(folder)]
    shipped = tuple(term.weight for term in TERMS)
    print("set            VUS-PR  event F1  normal time under alert  false alarms a day")
    left_out: dict[str, DetectionFigures] = {}
    for name in dict.fromkeys(one.of_set for one in series):
        others = [one for one in series if one.of_set != name]
        chosen = chosen_weights(others)
        rule = chosen_rule(others, chosen)
        found = {one.name: one.figures(chosen, rule) for one in series if one.of_set == name}
        left_out |= found
        print(_line(name, aggregate(found).macro), _words(chosen, rule), sep="\n", flush=True)
    print(_line("left out", aggregate(left_out).macro), flush=True)
    chosen = chosen_weights(series)
    rule = chosen_rule(series, chosen)
    for what, terms, one_rule in (("all sets", chosen, rule), ("as shipped", shipped, RULE)):
        found = {one.name: one.figures(terms, one_rule) for one in series}
        print(_line(what, aggregate(found).macro), _words(terms, one_rule), sep="\n", flush=True)


if __name__ == "__main__":
    main()
