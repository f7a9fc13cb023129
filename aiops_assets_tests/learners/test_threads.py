"""A fit takes one thread: its file does not depend on how many there are, and threads are as before when it is done."""

import hashlib
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from aiops_assets.learners.detectors import lstm_network
from aiops_assets.learners.detectors.lstm_autoencoder import LstmAutoencoder
from aiops_assets.learners.forecasters import trees as forecast_trees
from aiops_assets.learners.forecasters.learned import LearnedForecaster
from aiops_assets.learners.threads import one_thread, one_torch_thread
from aiops_assets_tests.learners.forecaster_histories import history, noisy
from aiops_assets_tests.learners.test_window_detectors import series


@contextmanager
def threads(count: int) -> Iterator[None]:
    """As on a machine of so many cores."""
    before = torch.get_num_threads()
    with threadpool_limits(limits=count):
        torch.set_num_threads(count)
        yield
        torch.set_num_threads(before)


def weights() -> bytes:
    detector = LstmAutoencoder([f"metric_{i}" for i in range(5)])
    detector.fit([series(n=600, columns=5)])
    return b"".join(weight.numpy().tobytes() for weight in detector._network.state_dict().values())


def trees() -> bytes:
    forecaster = LearnedForecaster()
    forecaster.fit(history(noisy(2)))
    return pickle.dumps(forecaster.state())


def test_files_are_the_same_with_one_thread_and_with_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the learners whose files another number of threads has changed."""
    monkeypatch.setattr(lstm_network, "EPOCHS", 1)
    monkeypatch.setitem(forecast_trees.BOOSTING, "max_iter", 2)
    for fitted in (weights, trees):
        made = []
        for count in (1, 2):
            with threads(count):
                made.append(hashlib.sha256(fitted()).hexdigest())
        assert made[0] == made[1]


def limits() -> dict[str, int]:
    np.linalg.inv(np.eye(2))
    return {library["filepath"]: library["num_threads"] for library in threadpool_info()}


def test_threads_are_as_before_when_a_fit_is_done() -> None:
    with threads(2):
        two = limits()
        with one_thread():
            assert set(limits().values()) == {1}
        assert limits() == two
        with one_torch_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        assert limits() == two
