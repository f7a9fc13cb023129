"""Two models on the same rows: which is served, and how sure that is."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from aiops_assets.judging.bootstrap import Difference, difference
from aiops_assets.judging.decision import Decision, Reason, meets_null_model, replace_damaged
from aiops_assets.judging.detection.figures import judge
from aiops_assets.judging.detection.gate import (
    AP_TOLERANCE,
    NULL_MODEL,
    Comparison,
    _average_precisions,
    blocks_of,
    compare,
    decide,
    worse_in,
)
from aiops_assets.learners.contracts import Scored

REAL, SYNTHETIC = "prometheus", "synthetic"
RNG = np.random.default_rng(7)


def holdout(n_pods: int = 20, hours: int = 34, rate: float = 0.03, seed: int = 1) -> pd.DataFrame:
    """Rows every five minutes of some pods, with episodes of an hour."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2026-10-30T14:00", periods=hours * 12, freq="5min", tz="UTC")
    rows = pd.DataFrame(
        {"timestamp": np.tile(times, n_pods), "pod": np.repeat([f"p{i}" for i in range(n_pods)], len(times))}
    )
    label = np.zeros(len(rows), dtype=int)
    for begin in rng.choice(len(rows) // 12, size=round(rate * len(rows) / 12), replace=False) * 12:
        label[begin : begin + 12] = 1
    return rows.assign(source=SYNTHETIC, label=label, kind=np.where(label == 1, "cpu_spike", "normal"))


def detector(rows: pd.DataFrame, skill: float, alarms: float = 0.005, seed: int = 2) -> Scored:
    """Scores that rank anomalous rows higher by ``skill`` standard deviations, and alert for a share of normal rows."""
    rng = np.random.default_rng(seed)
    truth = rows["label"].to_numpy() == 1
    score = rng.normal(size=len(rows)) + skill * truth
    threshold = np.quantile(score[~truth], 1 - alarms) if (~truth).any() else np.inf
    return Scored(score, score > threshold, np.zeros((len(rows), 1)))


def decided(rows: pd.DataFrame, new: Scored, old: Scored, **sources: str | None) -> Decision:
    known = {"challenger_source": REAL, "champion_source": REAL, **sources}
    return decide(compare(rows, new, old, "champion version 1", seed=42), **known)  # type: ignore[arg-type]


ROWS = holdout()
GOOD = detector(ROWS, 3.0)

WORSE: dict[str, tuple[Scored, str]] = {
    "scores upside down": (replace(GOOD, score=-GOOD.score), "average precision"),
    "noise": (detector(ROWS, 0.0, seed=5), "average precision"),
    "clearly less skill": (detector(ROWS, 2.0, seed=5), "average precision"),
    "one number for all": (replace(GOOD, score=np.zeros(len(ROWS))), "average precision"),
    "a third of normal rows under alert": (detector(ROWS, 3.0, alarms=0.3), "false alarms"),
    "always an alert": (replace(GOOD, alert=np.ones(len(ROWS), dtype=bool)), "false alarms"),
}


@pytest.mark.parametrize("name", WORSE)
def test_a_deliberately_worse_challenger_is_refused(name: str) -> None:
    scored, figure = WORSE[name]
    decision = decided(ROWS, scored, GOOD)
    assert not decision.promote
    assert decision.because.code == "worse_than_opponent"
    assert decision.because.facts["worse"] == (figure,)
    figures = decision.because.facts["figures"]
    measured = figures.average_precision if figure == "average precision" else figures.false_alarm_rate
    assert measured.difference.low <= measured.challenger - measured.opponent <= measured.difference.high


@pytest.mark.parametrize("name", WORSE)
def test_the_same_difference_the_other_way_round_is_promoted(name: str) -> None:
    decision = decided(ROWS, GOOD, WORSE[name][0])
    assert decision.promote
    assert decision.because.code == "not_worse"
    assert decision.because.facts["opponent"] == "champion version 1"


@pytest.mark.parametrize("seed", range(8))
def test_luck_keeps_nobody_out(seed: int) -> None:
    """Two detectors of the same skill on few rows differ by chance alone."""
    rows = holdout(n_pods=10, hours=12, rate=0.1, seed=seed)
    assert decided(rows, detector(rows, 2.5, seed=seed + 100), detector(rows, 2.5, seed=seed + 200)).promote


def drawn(seed: int, n: int = 400, n_anomalous: int = 12) -> pd.DataFrame:
    """Single rows out of 34 hours of 50 pods, the hold-out of the default synthetic training set."""
    rng = np.random.default_rng([seed, 6])
    rows = holdout(n_pods=50).iloc[np.sort(rng.choice(50 * 34 * 12, size=n, replace=False))].reset_index(drop=True)
    label = np.zeros(n, dtype=int)
    label[rng.choice(n, size=n_anomalous, replace=False)] = 1
    return rows.assign(label=label, kind=np.where(label == 1, "cpu_spike", "normal"))


@pytest.mark.long
def test_equals_are_seldom_kept_out_and_the_less_skilled_mostly_on_the_default_hold_out() -> None:
    """Shares of 100 pairs that share no noise at all; of 400 they were 5 % and 79 %."""
    equal, less = (
        sum(
            not decided(rows, detector(rows, skill, 0.02, seed + 100), detector(rows, 2.5, 0.02, seed + 900)).promote
            for seed in range(100)
            for rows in [drawn(seed)]
        )
        for skill in (2.5, 1.0)
    )
    assert equal <= 10
    assert less >= 70


def tiny() -> tuple[pd.DataFrame, Scored, Scored]:
    """20 rows, one of them anomalous; both rank it first, and the newer one also alerts for a normal row."""
    rows = drawn(1, n=20, n_anomalous=1)
    score = rows["label"].to_numpy().astype(float)
    old = Scored(score, score > 0.5, np.zeros((20, 1)))
    alert = old.alert.copy()
    alert[np.flatnonzero(score == 0)[0]] = True
    return rows, replace(old, alert=alert), old


def test_a_tiny_hold_out_makes_nobody_champion_in_place_of_another() -> None:
    rows, noisy, old = tiny()
    refused = decided(rows, noisy, old)
    assert not refused.promote
    assert refused.because.code == "worse_than_opponent"
    assert refused.because.facts["worse"] == ("false alarms, grossly",)
    alarms = refused.because.facts["figures"].false_alarm_rate
    assert (alarms.challenger, alarms.opponent) == (pytest.approx(1 / 19), 0.0)
    kept = decided(rows, old, noisy)
    assert not kept.promote
    assert kept.because.code == "holdout_too_small"
    assert [kept.because.facts[count] for count in ("rows", "anomalous", "blocks")] == [20, 1, 1]
    alarms = kept.because.facts["figures"].false_alarm_rate
    assert (alarms.challenger, alarms.opponent) == (0.0, pytest.approx(1 / 19))
    # Without a champion nothing would be served at all.
    assert decided(rows, noisy, old, champion_source=None).promote


@pytest.mark.parametrize(
    ("n", "n_anomalous", "too_small"),
    [(400, 12, False), (400, 10, False), (400, 9, True), (112, 12, False), (111, 12, True)],
)
def test_what_is_too_small_to_tell(n: int, n_anomalous: int, too_small: bool) -> None:
    rows = drawn(3, n, n_anomalous)
    scored = detector(rows, 3.0)
    assert compare(rows, scored, scored, "x", 1).too_small is too_small
    assert decided(rows, scored, scored).promote is not too_small


@pytest.mark.parametrize(("pods", "too_small"), [(4, True), (5, False)])
def test_anomalies_of_a_few_pods_say_too_little_however_many_rows(pods: int, too_small: bool) -> None:
    """Rows of one pod's day are one thing that happened."""
    hit = ROWS["pod"].isin([f"p{i}" for i in range(pods)]) & (ROWS["timestamp"] < "2026-10-30T16:00Z")
    rows = ROWS.assign(label=hit.astype(int), kind=np.where(hit, "cpu_spike", "normal"))
    comparison = compare(rows, GOOD, GOOD, "x", 1)
    assert comparison.anomalous_blocks == pods
    assert comparison.too_small is too_small


@pytest.mark.parametrize(
    ("precision", "alarms", "worse"),
    [
        (Difference(-0.16, -0.3, 0.0), Difference(0.0, 0.0, 0.0), ["average precision, grossly"]),
        (Difference(-0.14, -0.3, 0.0), Difference(0.021, 0.0, 0.05), ["false alarms, grossly"]),
        (Difference(-0.16, -0.3, 0.01), Difference(0.021, -0.001, 0.05), []),
        (Difference(-0.14, -0.3, 0.0), Difference(0.019, 0.0, 0.05), []),
        (Difference(-0.16, -0.3, -0.01), Difference(0.021, 0.001, 0.05), ["average precision", "false alarms"]),
    ],
)
def test_a_gross_difference_may_touch_zero(precision: Difference, alarms: Difference, worse: list[str]) -> None:
    comparison = replace(_comparison(0.5, 0.5), average_precision=precision, false_alarm_rate=alarms)
    assert worse_in(comparison, gross=True) == worse
    assert worse_in(comparison, gross=False) == [name for name in worse if "grossly" not in name]


def test_few_blocks_give_a_wider_interval_than_the_draws_themselves() -> None:
    draws = np.concatenate([[0.0], np.linspace(-1, 1, 4001)])
    many, twelve, one = (difference(draws, n) for n in (10_000, 12, 1))
    assert many
    assert twelve
    assert one
    assert many.high == pytest.approx(0.95, abs=1e-3)
    assert twelve.high == pytest.approx(0.9785, abs=1e-3)
    assert (one.low, one.high) == pytest.approx((-1, 1))


def test_a_trifle_keeps_nobody_out_however_sure() -> None:
    """Ten rows a day more under alert, in every day of every pod."""
    rows = holdout(n_pods=40)
    old = detector(rows, 3.0, alarms=0.01)
    more = old.alert | ((np.arange(len(rows)) % 288 < 1) & (rows["label"] == 0).to_numpy())
    decision = decided(rows, replace(old, alert=more), old)
    assert decision.promote, decision.because
    comparison = compare(rows, replace(old, alert=more), old, "x", 1).false_alarm_rate
    assert comparison
    assert 0 < comparison.low <= comparison.value < 0.005


@pytest.mark.parametrize("seed", range(5))
def test_weighted_average_precision_is_scikit_learns(seed: int) -> None:
    """Also with ties, and with blocks drawn several times or never."""
    rng = np.random.default_rng(seed)
    n, n_blocks = 400, 12
    truth, blocks = rng.random(n) < 0.1, rng.integers(0, n_blocks, n)
    score = np.round(rng.normal(size=n) + truth, 1)
    weights = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=20).astype(float)
    ours = _average_precisions(score, truth, blocks, weights)
    for found, draw in zip(ours, weights, strict=True):
        kept = draw[blocks] > 0
        expected = average_precision_score(truth[kept], score[kept], sample_weight=draw[blocks][kept])
        assert found == pytest.approx(expected, abs=1e-12)


def test_a_great_many_scores_change_the_figure_by_a_hair() -> None:
    rows = holdout(n_pods=100, hours=48, rate=0.1)
    scored = detector(rows, 2.0)
    comparison = compare(rows, scored, detector(rows, 0.0), "x", 1)
    exact = judge(scored, rows).average_precision
    other = judge(detector(rows, 0.0), rows).average_precision
    assert exact is not None
    assert other is not None
    assert comparison.average_precision
    assert comparison.average_precision.value == pytest.approx(exact - other, abs=2e-3)


def test_whole_days_of_pods_are_drawn() -> None:
    """Rows of one day are alike: treated as independent they would make any difference sure."""
    blocks = blocks_of(ROWS)
    assert blocks.max() + 1 == 20 * 2
    day = ROWS["pod"] + ROWS["timestamp"].dt.strftime("%d")
    assert len(set(zip(day, blocks, strict=True))) == 40
    few = ROWS[ROWS["pod"] == "p0"]
    assert blocks_of(few).max() + 1 > 10
    assert len(blocks_of(few.iloc[:0])) == 0


def test_the_interval_is_wider_when_rows_come_in_blocks() -> None:
    """A model that is wrong for whole days is known less well than one that is wrong here and there."""
    normal = np.flatnonzero(ROWS["label"] == 0)
    block = blocks_of(ROWS)
    whole, spread = np.zeros(len(ROWS), dtype=bool), np.zeros(len(ROWS), dtype=bool)
    whole[np.isin(block, [1, 5, 9])] = True
    whole &= (ROWS["label"] == 0).to_numpy()
    spread[RNG.choice(normal, size=int(whole.sum()), replace=False)] = True
    silent = replace(GOOD, alert=np.zeros(len(ROWS), dtype=bool))
    widths = []
    for alert in (whole, spread):
        difference = compare(ROWS, replace(GOOD, alert=alert), silent, "x", 1).false_alarm_rate
        assert difference
        widths.append(difference.high - difference.low)
    assert widths[0] > 3 * widths[1]


def test_the_same_seed_gives_the_same_interval() -> None:
    one, two, other = (compare(ROWS, GOOD, detector(ROWS, 2.0), "x", seed) for seed in (1, 1, 2))
    assert one == two
    assert one != other


def _comparison(new: float | None, old: float | None) -> Comparison:
    """A comparison that is sure of its difference."""
    figures = [replace(judge(GOOD, ROWS), average_precision=value) for value in (new, old)]
    gap = None if new is None or old is None else Difference(new - old, new - old - 0.01, new - old + 0.01)
    chance = None if new is None else Difference(new - 0.03, new - 0.04, new - 0.02)
    return Comparison("champion version 1", figures[0], figures[1], gap, Difference(0.0, -0.001, 0.001), chance, 12)


@pytest.mark.parametrize(
    ("new", "old", "new_source", "old_source", "promote", "code", "facts"),
    [
        (0.5, 0.1, SYNTHETIC, None, True, "first_not_worse", {"saw": None}),
        (0.1, 0.5, SYNTHETIC, None, False, "worse_than_opponent", {"worse": ("average precision",)}),
        (0.03, 0.03, SYNTHETIC, None, False, "not_better_than_guessing", {}),
        (None, None, SYNTHETIC, None, True, "first_by_false_alarms", {"saw": None}),
        (0.495, 0.5, SYNTHETIC, None, False, "loses_to_null_model", {}),
        (0.495, 0.5, REAL, SYNTHETIC, False, "loses_to_null_model", {}),
        (0.5, 0.5, SYNTHETIC, None, True, "first_not_worse", {}),
        (0.6, 0.5, SYNTHETIC, SYNTHETIC, True, "not_worse", {}),
        (0.5, 0.5, REAL, REAL, True, "not_worse", {}),
        (0.5 - AP_TOLERANCE / 2, 0.5, REAL, REAL, True, "not_worse", {}),
        (0.4, 0.2, REAL, SYNTHETIC, True, "first_not_worse", {"saw": REAL}),
        (0.1, 0.4, REAL, SYNTHETIC, False, "worse_than_opponent", {}),
        (0.4, 0.5, REAL, REAL, False, "worse_than_opponent", {}),
        (0.9, 0.1, SYNTHETIC, REAL, False, "synthetic_after_real", {"champion_source": REAL}),
        (None, 0.5, SYNTHETIC, SYNTHETIC, False, "no_anomalous_row", {}),
    ],
)
def test_the_rule(
    new: float | None,
    old: float | None,
    new_source: str,
    old_source: str | None,
    promote: bool,
    code: str,
    facts: dict[str, object],
) -> None:
    decision = decide(_comparison(new, old), challenger_source=new_source, champion_source=old_source)
    assert decision.promote is promote
    assert decision.because.code == code
    assert decision.because.facts.items() >= facts.items()
    assert not decision.equal


@pytest.mark.parametrize(
    ("challenger", "champion", "null"),
    [
        (SYNTHETIC, None, True),
        (REAL, None, True),
        (REAL, SYNTHETIC, True),
        (SYNTHETIC, SYNTHETIC, False),
        (REAL, REAL, False),
    ],
)
def test_who_meets_the_null_model(challenger: str, champion: str | None, null: bool) -> None:
    assert meets_null_model(challenger, champion) is null


def test_a_damaged_champion_is_replaced_but_not_by_generated_data() -> None:
    for source in (REAL, SYNTHETIC):
        replaced = replace_damaged("lost", challenger_source=source, champion_source=source)
        assert replaced.promote
        assert replaced.because == Reason("champion_damaged", damage="lost")
    refused = replace_damaged("lost", challenger_source=SYNTHETIC, champion_source=REAL)
    assert not refused.promote
    assert refused.because == Reason("synthetic_after_real", champion_source=REAL, damage="lost")


ODD: dict[str, Callable[[], pd.DataFrame]] = {
    "no anomalous row": lambda: ROWS.assign(label=0, kind="normal"),
    "no normal row": lambda: ROWS.assign(label=1, kind="cpu_spike"),
    "one row": lambda: ROWS.iloc[:1].assign(label=1, kind="cpu_spike"),
    "two rows": lambda: ROWS.iloc[:2].assign(label=[0, 1], kind=["normal", "cpu_spike"]),
    "one pod, one hour": lambda: ROWS.iloc[:12],
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("champion", [None, REAL])
def test_odd_hold_outs_get_a_decision(name: str, champion: str | None) -> None:
    rows = ODD[name]()
    new, old = detector(rows, 1.0, seed=3), detector(rows, 1.0, seed=4)
    decision = decide(compare(rows, new, old, NULL_MODEL, 1), challenger_source=REAL, champion_source=champion)
    assert decision.because.text
    assert "nan" not in decision.because.text
