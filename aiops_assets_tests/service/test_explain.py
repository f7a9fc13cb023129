"""The routes that explain alerts: answers, pictures, errors with codes, the key, and new runs."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from starlette.testclient import TestClient

from aiops_assets.registry.explaining import episodes_of
from aiops_assets.service import explain_answers, explain_example
from aiops_assets.service.band_exposition import MAX_SUBJECTS, BandCollector
from aiops_assets.service.demo import NOW
from aiops_assets.service.demo_scores import CART
from aiops_assets.service.newest_findings import NewestFindings
from aiops_assets.storage.explanations import EPISODE_COLUMNS, nothing
from aiops_assets.storage.scores import Scores, ScoresRun
from aiops_assets.storage.storage import LocalStorage
from aiops_assets_tests.registry.explained_runs import NODE, NOON, made_at, scored, whole
from aiops_assets_tests.service.conftest import service

SCORES, EXPLAIN, PICTURE = "/api/v1/scores", "/api/v1/explain", "/api/v1/explain.png"
PAGED = {"namespace": "shop", "pod": CART[2]}
POLL_SECONDS = 0.05
"""Of the service of these tests: so often it looks for a new run."""
PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with service(tmp_path_factory.mktemp("demo"), demo=True) as client:
        yield client


def ask(client: TestClient, path: str, shape: type[BaseModel], **query: str) -> dict[str, Any]:
    """An answer that has every field of the document, in its type."""
    found = client.get(path, params=query)
    assert found.status_code == 200, found.text
    shape.model_validate_json(found.content, strict=True)
    answer: dict[str, Any] = found.json()
    return answer


def test_a_pod_is_explained_without_a_sample_being_sent(demo: TestClient) -> None:
    found = ask(demo, EXPLAIN, explain_answers.Explained, **PAGED)
    assert (found["state"], found["metric"]) == ("page", "pod_memory_usage")
    assert datetime.fromisoformat(found["since"]) == NOW - timedelta(minutes=30)
    first = found["metrics"][0]
    assert (first["value"], first["expected"], first["lower"], first["upper"]) == (0.93, 0.4, 0.3, 0.5)
    assert demo.get(found["links"]["explain"]).json() == found
    assert demo.get(found["links"]["picture"]).content.startswith(PNG)


def test_examples_of_the_document_are_answers(demo: TestClient) -> None:
    assert ask(demo, EXPLAIN, explain_answers.Explained, **PAGED) == explain_example.EXPLAINED
    assert ask(demo, SCORES, explain_answers.ScoresAnswer, alerts="true") == explain_example.LISTED


def test_a_metric_is_explained_with_its_forecast(demo: TestClient) -> None:
    found = ask(demo, EXPLAIN, explain_answers.MetricExplained, metric="memory_usage")
    assert found["now"]["value"] == 0.3
    assert [(one["model"], one["proven"], len(one["steps"])) for one in found["forecasts"]] == [
        ("demo-forecaster", ["1h"], 2)
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, ["node-1", "shop", "blog"]),
        ({"alerts": "true"}, ["node-1", "shop"]),
        ({"pages": "1", "limit": "1"}, ["node-1"]),
        ({"namespace": "blog"}, ["blog"]),
        ({"pod": CART[2], "alerts": "TRUE"}, ["shop"]),
        ({"namespace": "nobody"}, []),
    ],
)
def test_a_list_is_narrowed_and_cut(demo: TestClient, query: dict[str, str], names: list[str]) -> None:
    found = ask(demo, SCORES, explain_answers.ScoresAnswer, **query)
    assert [one["subject"]["node"] or one["subject"]["namespace"] for one in found["subjects"]] == names
    assert found["total"] == (2 if "limit" in query else len(names))


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        (EXPLAIN, {"namespace": "shop", "pod": "nobody"}, 404, "unknown_pod"),
        (EXPLAIN, {"node": "nobody"}, 404, "unknown_node"),
        (PICTURE, {"metric": "nothing"}, 404, "unknown_metric"),
        (EXPLAIN, {"pod": CART[2]}, 400, "ambiguous_pod"),
        (EXPLAIN, {}, 400, "one_subject"),
        (PICTURE, {"pod": "a", "node": "b"}, 400, "one_subject"),
        (EXPLAIN, {"pod": "x" * 513}, 400, "name_too_long"),
        (SCORES, {"limit": "0"}, 400, "bad_parameter"),
        (SCORES, {"limit": "1001"}, 400, "bad_parameter"),
        (SCORES, {"limit": "²"}, 400, "bad_parameter"),
        (SCORES, {"pages": "perhaps"}, 400, "bad_parameter"),
    ],
)
def test_a_refusal_has_a_code(demo: TestClient, path: str, query: dict[str, str], status: int, code: str) -> None:
    found = demo.get(path, params=query)
    assert (found.status_code, found.json()["code"]) == (status, code)
    assert found.json()["error"]


@pytest.mark.parametrize("path", [SCORES, f"{EXPLAIN}?node=a", f"{PICTURE}?node=a"])
def test_without_a_run_nothing_is_explained(tmp_path: Path, path: str) -> None:
    with service(tmp_path) as client:
        found = client.get(path)
        assert (found.status_code, found.json()["code"]) == (503, "no_scores")


def test_a_new_run_is_noticed_while_the_service_runs(tmp_path: Path) -> None:
    store = Scores(LocalStorage(tmp_path), "default")
    now = datetime.now(UTC)
    with service(tmp_path) as client:
        for back, pages in ((10, []), (0, [(NODE, 0)])):
            run = scored(now, alerts=[], pages=pages)
            record = run.record.model_copy(update={"cluster": "default"})
            run = replace(run, record=record, episodes=episodes_of(run, nothing(EPISODE_COLUMNS)))
            store.put(made_at(run, now - timedelta(minutes=back)))
            sleep(2 * POLL_SECONDS)
            found = ask(client, SCORES, explain_answers.ScoresAnswer, pages="true")
            assert found["total"] == len(pages)


def test_the_key_protects_them(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    with service(tmp_path, SERVICE_API_KEY_FILE=str(key)) as client:
        for path in (SCORES, EXPLAIN, PICTURE):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"X-API-Key": "secret"}).status_code in (400, 503)


class Shown:
    """Gauges of bands over a store, at a time that can be set."""

    def __init__(self, store: Scores) -> None:
        self.now = NOON
        self.registry = CollectorRegistry()
        self.registry.register(BandCollector(NewestFindings(store, lambda: self.now, 0.0)))

    def values(self) -> dict[str, dict[tuple[str, str], float]]:
        """Gauge -> (pod or node, metric) -> value."""
        text = generate_latest(self.registry).decode()
        return {
            family.name: {
                (one.labels["pod"] or one.labels["node"], one.labels["metric"]): one.value for one in family.samples
            }
            for family in text_string_to_metric_families(text)
        }


@pytest.fixture(scope="module")
def run() -> ScoresRun:
    """A page and a notice of shop/cart-1, and a page of node-1."""
    return whole()


@pytest.fixture
def store(tmp_path: Path) -> Scores:
    return Scores(LocalStorage(tmp_path), "prod")


def test_bands_of_what_has_an_alert_are_gauges_until_it_ends_or_is_old(store: Scores, run: ScoresRun) -> None:
    shown = Shown(store)
    assert shown.values() == {}
    store.put(run)
    found = shown.values()
    assert set(found) == {f"aiops_anomaly_{side}" for side in ("value", "expected", "lower", "upper")}
    assert {who for who, _ in found["aiops_anomaly_value"]} == {"cart-1", NODE}
    of = ("cart-1", "pod_memory_usage")
    assert found["aiops_anomaly_value"][of] > found["aiops_anomaly_upper"][of] > found["aiops_anomaly_lower"][of]
    shown.now = NOON + timedelta(minutes=61)
    assert shown.values() == {}
    shown.now = NOON
    store.put(made_at(scored(pages=[], alerts=[]), NOON + timedelta(minutes=5)))
    assert all(not values for values in shown.values().values())


def test_the_number_of_subjects_with_gauges_is_bounded(
    store: Scores, run: ScoresRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiops_assets.service.band_exposition.MAX_SUBJECTS", 1)
    assert MAX_SUBJECTS == 50
    store.put(run)
    assert {who for who, _ in Shown(store).values()["aiops_anomaly_value"]} == {NODE}


def test_a_picture_is_drawn_once_a_run(store: Scores) -> None:
    store.put(scored())
    newest, drawn = NewestFindings(store, lambda: NOON, 0.0), []

    def draw() -> bytes:
        drawn.append(1)
        return b"png"

    for _ in range(2):
        assert newest.picture(newest.get(), "a", draw) == b"png"
    assert len(drawn) == 1
    newest.picture(newest.get(), "b", draw)
    store.put(made_at(scored(), NOON + timedelta(minutes=5)))
    newest.picture(newest.get(), "a", draw)
    assert len(drawn) == 3
