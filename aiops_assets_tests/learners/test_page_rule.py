"""Pages of one series: scores as rare as a few of the last weeks' worst, whatever their scale."""

import numpy as np
import numpy.typing as npt
import pytest

from aiops_assets.learners.detectors.page_rule import PageRule, page_episodes, pages

HOUR = np.timedelta64(1, "h")
DAYS_TRAINED = 7
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def _times(rows: int) -> npt.NDArray[np.datetime64]:
    return np.datetime64("2026-03-01T00:00:00") + HOUR * np.arange(rows)


def _noise(days: int, seed: int = 1) -> Floats:
    """An hourly score from 0 to 5, whose training rows have the median 2.5 and the 99 % quantile 4.9, about."""
    return np.random.default_rng(seed).uniform(0, 5, days * 24)


def _pages(score: Floats, alert: Flags | None = None) -> list[int]:
    everywhere = np.ones(len(score), dtype=bool)
    trained = np.arange(len(score)) < DAYS_TRAINED * 24
    found = pages(_times(len(score)), score, everywhere if alert is None else alert, trained)
    return np.flatnonzero(found).tolist()


def _with(score: Floats, peaks: dict[int, float]) -> Floats:
    score = score.copy()
    score[list(peaks)] = list(peaks.values())
    return score


def test_noise_under_alert_does_not_page_and_what_stands_out_does() -> None:
    assert _pages(_with(_noise(20), {400: 9.0})) == [400]


def test_a_page_is_an_alert() -> None:
    score = _with(_noise(20), {400: 9.0, 450: 9.0})
    assert _pages(score, np.arange(len(score)) == 450) == [450]


def test_what_is_above_the_peaks_of_noise_by_little_is_no_page() -> None:
    """The median peak of six hours of noise is about 4.5, so 2 above the median: 2.3 times as much is 7.1."""
    assert _pages(_with(_noise(20), {300: 6.6, 400: 7.6})) == [400]


def test_what_is_above_the_training_rows_by_little_is_no_page() -> None:
    """Their 99 % quantile is 1, hardly any block has a peak at all: 1.5 times as much is needed."""
    score = np.where(np.arange(480) % 50 == 0, 1.0, 0.0)
    assert _pages(_with(score, {310: 1.4, 410: 1.6})) == [410]


def test_noise_does_not_page_even_where_all_of_it_is_under_alert() -> None:
    """Rows of five minutes, whose peaks are all alike: by the largest peaks alone it pages every few days."""
    noise = np.abs(np.random.default_rng(1).normal(size=60 * 288))
    times = np.datetime64("2026-03-01T00:00:00") + np.timedelta64(5, "m") * np.arange(len(noise))
    alert, trained = np.ones(len(noise), dtype=bool), np.arange(len(noise)) < 14 * 288
    by_peaks_alone = PageRule(usual_peak=1.0)
    assert page_episodes(times, pages(times, noise, alert, trained, by_peaks_alone)) > 3
    assert page_episodes(times, pages(times, noise, alert, trained)) == 0


def test_an_incident_raises_the_level_for_smaller_ones_and_not_for_its_like() -> None:
    assert _pages(_with(_noise(20), {240: 20.0, 300: 14.0, 360: 19.0})) == [240, 360]


def test_one_incident_sets_no_level_once_four_weeks_are_known() -> None:
    """From then on it is the second largest peak; two incidents do set one."""
    once = _with(_noise(40), {240: 20.0, 29 * 24: 10.0})
    assert _pages(once) == [240, 29 * 24]
    assert _pages(_with(once, {300: 20.0})) == [240, 300]


def test_peaks_are_forgotten_after_six_weeks() -> None:
    """Three large incidents set the level for six weeks, even where the third largest peak counts."""
    storm = {240: 20.0, 300: 20.0, 360: 20.0}
    near, far = 50 * 24, 58 * 24
    assert _pages(_with(_noise(60), {**storm, near: 10.0, far: 10.0})) == [240, 300, 360, far]


def test_an_episode_does_not_raise_the_level_that_it_is_measured_by() -> None:
    """It begins with a block of six hours: all of it is compared with what was before."""
    assert _pages(_with(_noise(20), {240: 20.0, 241: 10.0, 245: 9.0, 246: 9.0})) == [240, 241, 245]


@pytest.mark.parametrize(("factor", "offset"), [(2.0**-30, 0.0), (2.0**30, 0.0), (1.0, 1000.0), (1.0, -1000.0)])
def test_scale_and_offset_of_the_score_do_not_matter(factor: float, offset: float) -> None:
    score = _with(_noise(40), {240: 20.0, 300: 14.0, 360: 19.0, 700: 8.0})
    assert _pages(score * factor + offset) == _pages(score)


def test_pages_do_not_depend_on_later_rows() -> None:
    score = _with(_noise(40), {240: 20.0, 300: 14.0, 360: 19.0, 700: 12.0, 900: 30.0})
    whole = _pages(score)
    for rows in (241, 361, 701, 850):
        assert _pages(score[:rows]) == [row for row in whole if row < rows]


def test_nothing_pages_before_there_is_something_to_compare_with() -> None:
    assert _pages(_with(_noise(20), {3: 50.0})) == []


def test_a_score_that_never_moved_does_not_page_at_its_value() -> None:
    assert _pages(np.zeros(480)) == []
    assert _pages(_with(np.zeros(480), {300: 1.0})) == [300]


def test_rows_that_are_missing_are_time_that_passed() -> None:
    """A gap of seven weeks: the incident before it is forgotten, with all that was known."""
    score = _with(_noise(20), {240: 20.0, 260: 10.0})
    times, alert = _times(len(score)), np.ones(len(score), dtype=bool)
    trained = np.arange(len(score)) < DAYS_TRAINED * 24
    times[252:] += np.timedelta64(7, "W")
    assert pages(times, score, alert, trained)[260]
    assert 260 not in _pages(score)


def test_train_rows_that_are_younger_come_first() -> None:
    """Their time steps back to the first test row: the order counts."""
    score = _with(_noise(20), {400: 9.0})
    times, alert = _times(len(score)), np.ones(len(score), dtype=bool)
    trained = np.arange(len(score)) < DAYS_TRAINED * 24
    times[trained] += np.timedelta64(90, "D")
    assert np.flatnonzero(pages(times, score, alert, trained)).tolist() == [400]


def test_episodes_are_pages_more_than_an_hour_apart_in_any_order() -> None:
    times = _times(12)
    page = np.isin(np.arange(12), (1, 2, 5, 7, 8))
    shuffled = np.random.default_rng(1).permutation(12)
    assert page_episodes(times[shuffled], page[shuffled]) == page_episodes(times, page) == 3
    assert page_episodes(times, np.zeros(12, dtype=bool)) == 0
