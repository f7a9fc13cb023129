"""A transport that answers from a function, and the answers servers give."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.retry import Retry
from aiops_assets.prometheus.transport import Answer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
T0 = int(NOON.timestamp())
DAY = timedelta(days=1)
FIVE = NOON + timedelta(minutes=5)
Params = Mapping[str, str]
AT_ONCE = Retry(sleep=lambda seconds: None)
"""The same attempts, without the waits."""


class Handler:
    """A transport that answers from a function and remembers what it was asked."""

    def __init__(self, answer: Callable[[str, Params], Answer]) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._answer = answer

    def get(self, path: str, params: Params) -> Answer:
        self.asked.append((path, dict(params)))
        return self._answer(path, params)


def client_of(answer: Answer, retry: Retry = AT_ONCE) -> PrometheusClient:
    return PrometheusClient(Handler(lambda path, params: answer), retry=retry)


def success(data: object, **more: object) -> Answer:
    """In the compact form that servers write."""
    document = {"status": "success", "data": data, **more}
    return Answer(200, {}, json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())


def refusal(status: int, kind: str, text: str, headers: Params | None = None) -> Answer:
    return Answer(status, headers or {}, json.dumps({"status": "error", "errorType": kind, "error": text}).encode())


def matrix(*series: tuple[dict[str, str], list[list[object]]], **more: object) -> Answer:
    result = [{"metric": labels, "values": values} for labels, values in series]
    return success({"resultType": "matrix", "result": result}, **more)


def vector(*series: tuple[dict[str, str], object]) -> Answer:
    result = [{"metric": labels, "value": [T0, value]} for labels, value in series]
    return success({"resultType": "vector", "result": result})


def grid_matrix(params: Params, *pods: str) -> Answer:
    """One series a pod on the whole grid that was asked for; each value is the minute plus the pod's place."""
    times = range(int(params["start"]), int(params["end"]) + 1, int(params["step"]))
    return matrix(*[({"pod": pod}, [[t, str(t // 60 + i)] for t in times]) for i, pod in enumerate(pods)])
