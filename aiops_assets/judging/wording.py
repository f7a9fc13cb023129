"""The words of decisions: one function a code, from the facts of a reason to its sentence.

Whoever changes a wording changes it here, and nothing else: everything that has to tell reasons apart compares codes
and facts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.forecasting.holdout import TRIVIAL, TRIVIAL_NAMES


@dataclass(frozen=True)
class Words:
    """A reason in words.

    Attributes:
        head: what was decided and why.
        figures: the figures behind it; empty where none were compared.
        joint: what stands between the two in the sentence.
    """

    head: str
    figures: str = ""
    joint: str = ": "

    @property
    def text(self) -> str:
        """The whole sentence."""
        return self.head + self.joint + self.figures if self.figures else self.head


@dataclass(frozen=True)
class Measured:
    """One figure of two models, and how sure their difference is."""

    challenger: float
    opponent: float
    difference: Difference


@dataclass(frozen=True)
class DetectionFacts:
    """Figures of two detectors that were compared.

    Attributes:
        average_precision: ``None`` without anomalous rows.
        false_alarm_rate: share of normal rows with an alert; ``None`` without normal rows.
    """

    average_precision: Measured | None
    false_alarm_rate: Measured | None

    def in_words(self) -> str:
        """Figures of both and their differences."""
        parts = []
        if found := self.average_precision:
            parts.append(
                f"average precision {found.challenger:.3f} against {found.opponent:.3f} "
                f"(difference {_interval(found.difference)})"
            )
        if found := self.false_alarm_rate:
            parts.append(
                f"false alarms in {found.challenger:.2%} against {found.opponent:.2%} of normal rows "
                f"(difference {_interval(found.difference, 100)} points)"
            )
        return ", ".join(parts)


@dataclass(frozen=True)
class ForecastFacts:
    """Figures of two forecasters that were compared.

    Attributes:
        trivial: trivial forecaster -> relative difference of the challenger's error to its.
        ratios: trivial forecaster -> horizon -> error divided by its error.
        opponent, error: the champion and the relative difference to its error; ``None`` where there is no champion.
        coverage: horizon -> share of values inside the 80 % interval.
    """

    trivial: Mapping[str, Difference]
    ratios: Mapping[str, Mapping[str, float]]
    opponent: str
    error: Difference | None
    coverage: Mapping[str, float]

    def in_words(self) -> str:
        """Figures and their differences."""
        parts = [
            f"error to that of {TRIVIAL[name]} {_percent(found)}, by horizon {_by_horizon(self.ratios[name])}"
            for name, found in self.trivial.items()
        ]
        if self.error:
            parts.append(f"error to that of {self.opponent} {_percent(self.error)}")
        return ", ".join([*parts, f"inside the 80 % interval {_by_horizon(self.coverage)}"])


Facts = DetectionFacts | ForecastFacts


def words_of(code: str, facts: Mapping[str, Any]) -> Words:
    """The words of a reason; ``facts`` are the arguments of the function of its code."""
    return WORDINGS[code](**facts)


def _already_champion(version: int) -> Words:
    return Words(f"version {version} is the champion already")


def _same_model(champion: int) -> Words:
    return Words(f"the same model as the champion, version {champion}")


def _vetoed(name: str, version: int, vetoed: int, who: str, when: datetime, note: str) -> Words:
    same = "" if vetoed == version else f" is the same model as version {vetoed}, which"
    return Words(
        f"{name} version {version}{same} was rolled back by {who} on {when:%Y-%m-%d} ({note}): "
        f"`aiops promote {name} {version}` lifts the veto"
    )


def _synthetic_after_real(champion_source: str, damage: str = "") -> Words:
    lost = f", and cannot be served: {damage}" if damage else ""
    return Words(f"trained on synthetic data; the champion saw {champion_source} data{lost}")


def _champion_damaged(damage: str) -> Words:
    return Words(f"the champion cannot be served: {damage}")


def _no_anomalous_row() -> Words:
    return Words("the hold-out has no anomalous row, so nothing shows that it is not worse")


def _first_by_false_alarms(saw: str | None, figures: Facts) -> Words:
    unjudged = "the hold-out has no anomalous row, so false alarms alone are judged"
    return Words(f"{_first(saw)}; {unjudged}", figures.in_words())


def _worse_false_alarms(figures: Facts) -> Words:
    return Words("worse", figures.in_words())


def _not_better_than_guessing(over_chance: Difference, figures: Facts) -> Words:
    return Words(
        f"worse: not better than guessing: its average precision is {_interval(over_chance)} above the share of "
        "anomalous rows",
        figures.in_words(),
        "; ",
    )


def _worse_than_opponent(worse: Sequence[str], opponent: str, figures: Facts) -> Words:
    return Words(f"worse ({' and '.join(worse)}) than {opponent}", figures.in_words())


def _loses_to_null_model(figures: Facts) -> Words:
    return Words("the null model, which learns nothing, ranks anomalous rows better", figures.in_words())


def _holdout_too_small(rows: int, anomalous: int, blocks: int, figures: Facts) -> Words:
    counts = f"{rows} rows, {anomalous} anomalous in {blocks} blocks"
    return Words(
        f"the hold-out is too small to decide ({counts}): raise N_SAMPLES or TRAINING_DAYS", figures.in_words(), "; "
    )


def _first_not_worse(saw: str | None, opponent: str, figures: Facts) -> Words:
    return Words(f"{_first(saw)}, not worse than {opponent}", figures.in_words())


def _not_worse(opponent: str, figures: Facts) -> Words:
    return Words(f"not worse than {opponent}", figures.in_words())


def _no_origin() -> Words:
    return Words("the hold-out has no forecast origin with an hour of samples after it: raise TRAINING_DAYS")


def _worse_than_trivial(figures: Facts) -> Words:
    return Words(f"worse than both baselines, {TRIVIAL_NAMES}", figures.in_words())


def _loses_to_trivial(lost: Sequence[str], figures: Facts) -> Words:
    return Words(f"worse than {' and '.join(TRIVIAL[name] for name in lost)}", figures.in_words())


def _intervals_too_narrow(inside: float, figures: Facts) -> Words:
    return Words(f"its 80 % intervals hold {inside:.0%} of the values", figures.in_words())


def _too_few_origins(origins: int, figures: Facts) -> Words:
    return Words(
        f"the hold-out is too small to decide ({origins} forecast origins): raise TRAINING_DAYS",
        figures.in_words(),
        "; ",
    )


def _first_beats_trivial(saw: str | None, beaten: Sequence[str], ties: bool, figures: Facts) -> Words:
    return Words(f"{_first(saw)}, {_against(beaten, ties)}", figures.in_words())


def _not_worse_and_beats_trivial(opponent: str, beaten: Sequence[str], ties: bool, figures: Facts) -> Words:
    return Words(f"not worse than {opponent}, {_against(beaten, ties)}", figures.in_words())


WORDINGS: dict[str, Callable[..., Words]] = {
    "already_champion": _already_champion,
    "same_model": _same_model,
    "vetoed": _vetoed,
    "synthetic_after_real": _synthetic_after_real,
    "champion_damaged": _champion_damaged,
    "no_anomalous_row": _no_anomalous_row,
    "first_by_false_alarms": _first_by_false_alarms,
    "worse_false_alarms": _worse_false_alarms,
    "not_better_than_guessing": _not_better_than_guessing,
    "loses_to_null_model": _loses_to_null_model,
    "worse_than_opponent": _worse_than_opponent,
    "holdout_too_small": _holdout_too_small,
    "first_not_worse": _first_not_worse,
    "not_worse": _not_worse,
    "no_origin": _no_origin,
    "worse_than_trivial": _worse_than_trivial,
    "loses_to_trivial": _loses_to_trivial,
    "intervals_too_narrow": _intervals_too_narrow,
    "too_few_origins": _too_few_origins,
    "first_beats_trivial": _first_beats_trivial,
    "not_worse_and_beats_trivial": _not_worse_and_beats_trivial,
}
"""Code of a reason -> its sentence. Records keep codes: one that was written once is never given another meaning."""


def _first(saw: str | None) -> str:
    """``saw``: the source that no version before saw; ``None``: there was no version before."""
    return "first version" if saw is None else f"first version that saw {saw} data"


def _against(beaten: Sequence[str], ties: bool) -> str:
    return f"{'not worse than' if ties else 'better than'} {' and '.join(TRIVIAL[name] for name in beaten)}"


def _interval(difference: Difference, scale: float = 1.0) -> str:
    digits = 3 if scale == 1 else 2
    value, low, high = (f"{scale * part:+.{digits}f}" for part in (difference.value, difference.low, difference.high))
    return f"{value}, 95 % interval {low} to {high}"


def _percent(found: Difference) -> str:
    return f"{found.value:+.0%} (95 % interval {found.low:+.0%} to {found.high:+.0%})"


def _by_horizon(figures: Mapping[str, float]) -> str:
    return " / ".join(f"{value:.2f} at {label}" for label, value in figures.items())
