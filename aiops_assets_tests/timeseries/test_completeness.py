"""How many series a day should have, and how much of that is there."""

import numpy as np
import pytest

from aiops_assets.timeseries.completeness import alive, between, lost_since, missing_of_count, wanted

NAN = np.nan


def test_a_series_lives_from_its_first_to_its_last_sample() -> None:
    values = np.array([[1, NAN, 1, NAN, NAN], [NAN, 1, 1, 1, NAN], [NAN] * 5])
    assert alive(values).tolist() == [1, 2, 2, 1, 0]
    assert alive(np.ones((2, 3))).tolist() == [2, 2, 2]


def test_what_the_server_counted_is_wanted_and_what_lives() -> None:
    values = np.array([[1.0, 1, 1, 1, 1, 1]])
    assert wanted(values, np.array([3, NAN, 3, NAN, 1, NAN])).tolist() == [3, 3, 3, 1, 1, 1]
    assert wanted(values, np.full(6, NAN)).tolist() == [1] * 6


def test_an_outage_wants_as_many_as_there_are_otherwise() -> None:
    values = np.array([[NAN, NAN, 1, 1, 1], [NAN, NAN, 1, 1, 1]])
    assert wanted(values, np.full(5, NAN)).tolist() == [2] * 5
    assert wanted(np.empty((0, 5)), np.full(5, NAN)).tolist() == [0] * 5


def test_between_two_counts_the_smaller_one_holds_and_over_a_gap_none() -> None:
    counted = np.array([4, NAN, 6, NAN, 6, NAN, NAN, NAN, 2])
    expected = [4, 4, 6, 6, 6, NAN, NAN, NAN, 2]
    np.testing.assert_array_equal(between(counted), expected)
    np.testing.assert_array_equal(between(np.array([NAN, 3.0])), [NAN, 3.0])


@pytest.mark.parametrize(
    ("counted", "share"),
    [([2, 2, 2], 0.0), ([4, NAN, 4], 0.5), ([4, 2, 2], 0.25), ([NAN] * 3, 0.0), ([1, 1, 1], 0.0), ([0, 0, 0], 0.0)],
)
def test_counted_series_without_a_sample_are_missing(counted: list[float], share: float) -> None:
    assert missing_of_count(np.ones((2, 3)), np.array(counted)) == share


def test_stored_samples_are_lost_where_an_answer_has_only_others() -> None:
    stored = np.array([[1.0, 1, 1, 1], [1, 1, 1, 1]])
    assert lost_since(stored, np.array([[1.0, 1, 1, 1], [NAN, NAN, 1, 1]])) == 0.25
    retention = np.array([[NAN, NAN, 1, 1], [NAN, NAN, 1, 1]])
    assert lost_since(stored, retention) == 0.0
    assert lost_since(np.full((2, 4), NAN), stored) == 0.0
