import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aiops_assets.errors import NotFoundError, StoreError
from aiops_assets.storage.handoff import MAX_RUNS, DecisionRef, Handoffs, VersionRef
from aiops_assets.storage.storage import LocalStorage
from aiops_assets_tests.raising import raises

KEY = ("model", "m")


@pytest.fixture
def handoffs(tmp_path: Path) -> Handoffs:
    return Handoffs(LocalStorage(tmp_path), "default")


def _ref(version: int) -> VersionRef:
    return VersionRef(name="m", version=version, manifest_sha256="")


def test_a_run_reads_its_own_and_anybody_else_the_newest(handoffs: Handoffs) -> None:
    handoffs.put(KEY, "a", _ref(1))
    handoffs.put(KEY, "b", _ref(2))
    assert handoffs.get(KEY, VersionRef, "a") == _ref(1)
    assert handoffs.get(KEY, VersionRef, "other") == handoffs.get(KEY, VersionRef) == _ref(2)
    handoffs.put(KEY, "a", _ref(3))
    assert handoffs.get(KEY, VersionRef) == handoffs.get(KEY, VersionRef, "a") == _ref(3)


def test_only_the_newest_runs_are_kept(handoffs: Handoffs) -> None:
    for i in range(MAX_RUNS + 5):
        handoffs.put(KEY, f"run {i}", _ref(i))
    assert handoffs.get(KEY, VersionRef, "run 0") == _ref(MAX_RUNS + 4)
    assert handoffs.get(KEY, VersionRef, "run 5") == _ref(5)


def test_what_was_never_made_or_is_damaged_is_said(handoffs: Handoffs) -> None:
    with pytest.raises(NotFoundError, match="model/m was never materialized"):
        handoffs.get(KEY, VersionRef)
    handoffs.storage.write("handoff/cluster=default/model/m.json", b"{")
    with raises(StoreError, "no_json"):
        handoffs.get(KEY, VersionRef)


def test_a_decision_of_older_code_has_a_reason_without_a_code(handoffs: Handoffs) -> None:
    older = {"challenger": _ref(2).model_dump(), "champion": 1, "promote": False, "equal": False, "reason": "a: b"}
    handoffs.storage.write("handoff/cluster=default/model/m.json", json.dumps({"run": older}).encode())
    found = handoffs.get(KEY, DecisionRef)
    assert (found.reason, found.code) == ("a: b", "")


def test_two_runs_at_once_lose_nothing(handoffs: Handoffs) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: handoffs.put(KEY, f"run {i}", _ref(i)), range(8)))
    assert [handoffs.get(KEY, VersionRef, f"run {i}").version for i in range(8)] == list(range(8))
