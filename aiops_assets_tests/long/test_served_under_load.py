"""`aiops serve` under mixed load: killed again and again, and for hours while champions move.

A score tells which version really answered, so that a wrong answer is seen.
"""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import numpy as np
import psutil
import pytest
import requests

from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets_tests.lengths import at_length, soaking
from aiops_assets_tests.service.running import Running, serving
from aiops_assets_tests.service.served_home import ServedHome, model_file

pytestmark = pytest.mark.long

NAME = ANOMALY_DETECTOR.name
KILLS = at_length(3, 200)
LOAD_SECONDS = at_length(12, 2 * 3600)
CLIENTS = 4
BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
"""What a client sees of a server that is killed before or within its answer."""
MOVE_SECONDS = 1.0
SETTLED_SHARE = 0.2
"""Memory is compared from here on: until then each kind of request was seen often."""
MOST_GROWTH = 1.05
ROW = healthy_rows(1, seed=9)
FILES = {1: model_file(NAME), 2: model_file(NAME, seed=1)}
SCORES = {
    str(version): float(isolation_forest.anomaly_score(isolation_forest.from_bytes(data), ROW)[0])
    for version, data in FILES.items()
}
RISING = [
    {"name": "memory_usage", "value": 0.3 + minute / 200, "timestamp": f"2026-11-01T10:{minute:02}:00Z"}
    for minute in range(40)
]
QUESTIONS = (
    ("/api/v1/anomaly/detect", {"metrics": RISING}),
    ("/api/v1/prediction/predict", {"historical_metrics": RISING, "predict_ahead": "1h"}),
    ("/api/v1/pattern/analyze", {"metrics": RISING, "analysis_type": "trend"}),
)


@pytest.fixture
def home(tmp_path: Path) -> ServedHome:
    made = ServedHome(tmp_path / "models").serve([NAME])
    made.publish(data=FILES[2])
    return made


def ask(session: requests.Session, url: str, turn: int) -> str:
    """One request; the version that made its answer, which is checked. The engine's questions name none."""
    if turn % 2:
        path, body = QUESTIONS[turn // 2 % len(QUESTIONS)]
        response = session.post(url + path, json=body, timeout=30)
        assert response.status_code == 200, response.text
        return ""
    response = session.post(f"{url}/v1/models/{NAME}:predict", json={"instances": ROW.tolist()}, timeout=30)
    assert response.status_code == 200, response.text
    found = response.json()
    version = str(found["model_version"])
    np.testing.assert_allclose(found["scores"], [SCORES[version]], atol=1e-9)
    return version


@contextmanager
def load(url: str, *, may_break: bool) -> Iterator[list["Counter[str]"]]:
    """Clients that ask until the block ends; what they saw is there afterwards. ``may_break``: the server is killed."""
    over, seen = Event(), list[Counter[str]]()

    def client() -> Counter[str]:
        counted: Counter[str] = Counter()
        with requests.Session() as session:
            for turn in range(10**9):
                if over.is_set():
                    break
                try:
                    counted[ask(session, url, turn)] += 1
                except BROKEN:
                    if not may_break:
                        raise
                    break
        return counted

    with ThreadPoolExecutor(CLIENTS) as clients:
        asking = [clients.submit(client) for _ in range(CLIENTS)]
        try:
            yield seen
        finally:
            over.set()
        seen += [one.result() for one in asking]


def started(running: Running) -> None:
    running.wait_for(f"/v1/models/{NAME}")


def test_a_killed_service_answers_rightly_after_each_start(home: ServedHome, tmp_path: Path) -> None:
    rng = random.Random(0)
    before = {path: path.read_bytes() for path in sorted(home.folder.rglob("*")) if path.is_file()}
    answered: Counter[str] = Counter()
    for _ in range(KILLS):
        with serving(tmp_path, MODELS=NAME, SERVICE_POLL_SECONDS="0.1") as running:
            started(running)
            with load(running.url, may_break=True) as seen:
                sleep(rng.uniform(0.1, 1.5))
                running.process.kill()
        answered += sum(seen, Counter())
    assert answered["1"] > KILLS
    assert {path: path.read_bytes() for path in sorted(home.folder.rglob("*")) if path.is_file()} == before


def test_hours_of_mixed_load_with_promotions(home: ServedHome, tmp_path: Path) -> None:
    with serving(tmp_path, MODELS=NAME, SERVICE_POLL_SECONDS="0.1") as running:
        started(running)
        process = psutil.Process(running.process.pid)
        sizes: list[tuple[float, int]] = []
        begun, moves = monotonic(), 0
        with load(running.url, may_break=False) as seen:
            while (spent := monotonic() - begun) < LOAD_SECONDS:
                moves += 1
                home.promote(1 + moves % 2)
                sleep(MOVE_SECONDS)
                sizes.append((spent / LOAD_SECONDS, process.memory_info().rss))
    answered = sum(seen, Counter())
    assert min(answered["1"], answered["2"], answered[""]) > 0
    settled = [size for share, size in sizes if share > SETTLED_SHARE]
    print(f"{answered.total()} requests, {moves} promotions, memory {settled[0]} to {settled[-1]} bytes")
    if soaking():
        assert np.median(settled[-len(settled) // 10 :]) <= MOST_GROWTH * np.median(settled[: len(settled) // 10])
