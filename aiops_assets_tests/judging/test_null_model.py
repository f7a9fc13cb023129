"""The model that knows nothing gives a sensible answer to everything."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from aiops_assets.judging.detection import null_model
from aiops_assets.judging.detection.null_model import MAX_DEVIATION, of_rows, of_series
from aiops_assets.learners.detectors.alert_rule import ALERT_BUDGET
from aiops_assets.timeseries.features import FEATURES
from aiops_assets.views.pod_features import VISIBLE_KINDS, holdout_start, labelled_series, synthetic_rows
from aiops_assets.views.pod_series import VALUES, segment_rows
from aiops_assets_tests.conftest import END


def frame(values: np.ndarray, pod: str = "p") -> pd.DataFrame:
    times = pd.date_range("2026-10-01", periods=len(values), freq="5min", tz="UTC")
    columns = {f"m{i}": column for i, column in enumerate(np.atleast_2d(values.T))}
    return pd.DataFrame({"timestamp": times, "pod": pod, "source": "synthetic", **columns})


def columns(rows: pd.DataFrame) -> list[str]:
    return [name for name in rows.columns if name.startswith("m")]


def noise(n: int, width: int = 1, seed: int = 1) -> np.ndarray:
    return 1.0 + 0.1 * np.random.default_rng(seed).standard_normal((n, width))


ODD = {
    "constant": np.full((500, 3), 0.7),
    "constant zero": np.zeros((500, 2)),
    "all missing": np.full((500, 2), np.nan),
    "infinite": np.where(np.arange(500)[:, None] % 7 == 0, np.inf, noise(500, 2)),
    "ten rows": noise(10),
    "one row": noise(1),
    "one column": noise(500),
    "wide": noise(50, 300),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_series_get_finite_scores_of_the_right_shape(name: str) -> None:
    rows = frame(ODD[name])
    scored = of_series(rows, columns(rows))
    assert scored.score.shape == scored.alert.shape == (len(rows),)
    assert scored.contributions.shape == (len(rows), len(columns(rows)))
    assert np.isfinite(scored.score).all()
    assert scored.score.min() >= 0
    assert scored.score.max() <= MAX_DEVIATION
    sums = scored.contributions.sum(axis=1)
    assert np.all(np.isclose(sums, 1.0) | (sums == 0.0))


@pytest.mark.parametrize("name", ["constant", "constant zero", "all missing", "ten rows", "one row"])
def test_where_nothing_happens_or_nothing_is_known_nothing_is_said(name: str) -> None:
    rows = frame(ODD[name])
    scored = of_series(rows, columns(rows))
    assert not scored.alert.any()
    assert (scored.score == 0).all()


def test_a_step_is_seen_at_once_and_then_becomes_usual() -> None:
    values = noise(1200)
    values[600:] += 1.0
    scored = of_series(frame(values), ["m0"])
    assert scored.alert[600:602].all()
    assert scored.score[600:612].min() > 5
    assert scored.score[1100:].mean() < 2 * scored.score[300:600].mean()


def test_alerts_are_about_as_rare_as_their_quantile_says() -> None:
    assert of_series(frame(noise(5000)), ["m0"]).alert[500:].mean() == pytest.approx(ALERT_BUDGET, abs=0.005)


def test_the_metric_that_left_its_range_contributes_most() -> None:
    values = noise(600, 4)
    values[500, 2] += 3
    assert of_series(frame(values), ["m0", "m1", "m2", "m3"]).contributions[500].argmax() == 2


def test_the_future_tells_it_nothing_and_other_pods_neither() -> None:
    a, b = frame(noise(700), "a"), frame(noise(700, seed=2) * 50, "b")
    together = pd.concat([a, b]).sample(frac=1, random_state=1, ignore_index=True)
    scored = of_series(together, ["m0"])
    of_a = (together["pod"] == "a").to_numpy()
    in_time = np.argsort(together.loc[of_a, "timestamp"].to_numpy())
    alone = of_series(a.iloc[:400], ["m0"])
    assert (scored.score[of_a][in_time][:400] == alone.score).all()
    assert (scored.alert[of_a][in_time][:400] == alone.alert).all()


def test_it_sees_part_of_what_is_injected_into_pods() -> None:
    series = labelled_series(10, 4, END, 3, 0.03, VISIBLE_KINDS)
    rows = segment_rows(series, holdout_start(len(series.times)), "synthetic")
    holdout = (rows["split"] == "holdout").to_numpy()
    scored = of_series(rows, VALUES)
    assert average_precision_score(rows["label"][holdout], scored.score[holdout]) > 0.15
    assert scored.alert[holdout & (rows["kind"] == "cpu_spike").to_numpy()].mean() >= 0.5


def test_rows_are_judged_by_their_own_six_minutes() -> None:
    rows = synthetic_rows(labelled_series(20, 4, END, 1, 0.03), 1000, 0.03, 1)
    scored = of_rows(rows)
    assert np.isfinite(scored.score).all()
    assert scored.contributions.shape == (1000, 5)
    assert 0 < scored.alert.mean() < 0.1
    jump = rows.iloc[:1].copy()
    jump["pod_cpu_usage_value"] += 5
    assert of_rows(jump).contributions[0].argmax() == 2
    shuffled = rows.sample(frac=1, random_state=1)
    again = of_rows(shuffled).score
    assert again == pytest.approx(scored.score[shuffled.index], abs=0)


def test_a_row_of_nothing_known_is_not_odd() -> None:
    rows = synthetic_rows(labelled_series(20, 4, END, 1, 0.03), 1000, 0.03, 1).head(1)
    constant = rows.assign(**dict.fromkeys(FEATURES, 0.5))
    assert null_model.of_rows(constant).score[0] == 0.0
