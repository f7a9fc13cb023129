"""The first requests, which the service makes itself before it is ready: code is imported and compiled for them.

Nothing of them is counted, and nothing that fails in them keeps the service from being ready: it fails in requests too,
with an answer that says why.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import structlog
from fastapi import FastAPI
from prometheus_client import generate_latest

from aiops_assets.errors import AiopsError
from aiops_assets.families.contract import Asking
from aiops_assets.service import bodies
from aiops_assets.service.engine import Engine
from aiops_assets.service.inference import Question, infer
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.newest_findings import NewestFindings
from aiops_assets.service.pool import ModelPool
from aiops_assets.service.ready import ReadyModel
from aiops_assets.service.wire import parsed
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.timeseries.engine_layouts import SILENT_ROW

SAMPLES, LEVEL = 60, 0.4
"""Samples of a series, one a minute, and about their value, a ratio."""
METRICS = ("cpu_usage", "memory_usage")

log = structlog.get_logger("aiops.service")


def warm_model(ready: ReadyModel, horizon: int, now: datetime) -> None:
    """Make the first prediction of a version.

    Args:
        ready: the version.
        horizon: steps of a forecast.
        now: time of a window's newest row, with an offset.
    """
    with _not_stopped(model=ready.spec.name):
        infer(ready, Question(_INSTANCES[ready.family.asking](ready), horizon, now))


def warm_up(app: FastAPI, pool: ModelPool, engine: Engine, newest: NewestFindings, instruments: Instruments) -> None:
    """Make the first requests of the engine's routes, and the documents that are made once.

    Args:
        app: the application; its document is made.
        pool: the models that are ready.
        engine: its clock is used.
        newest: the newest run of scores is read.
        instruments: the metrics of /metrics, which are collected.
    """
    began = monotonic()
    uncounted = Engine(pool, Instruments(), engine.clock)
    series = _series(engine.clock())
    newest_only = series[-len(METRICS) :]
    situation = {"current_state": "degraded", "recent_events": ["pod_restart"], "metrics": newest_only}
    requests: dict[str, Callable[[], object]] = {
        "detect": lambda: uncounted.detect(_body(bodies.DetectBody, metrics=newest_only)),
        "detect series": lambda: uncounted.detect(_body(bodies.DetectBody, metrics=series)),
        "predict": lambda: uncounted.predict(
            _body(bodies.PredictBody, historical_metrics=series, issue_context=situation)
        ),
        "analyze": lambda: uncounted.analyze(_body(bodies.AnalyzeBody, metrics=series)),
        "scores": newest.get,
        "pictures": _import_pictures,
        "metrics": lambda: generate_latest(instruments.registry),
        "document": app.openapi,
    }
    for name, request in requests.items():
        with _not_stopped(request=name):
            request()
    log.info("ready", warm_up_seconds=round(monotonic() - began, 2))


def _import_pictures() -> None:
    from aiops_assets.reporting import explained_pictures  # noqa: F401 - matplotlib takes a second to import


def _series(now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "value": LEVEL + 0.01 * ((back * 7) % 5),
            "timestamp": (now - timedelta(minutes=back)).isoformat(),
            "labels": {"namespace": "warm-up", "pod": "warm-up"},
        }
        for back in range(SAMPLES - 1, -1, -1)
        for name in METRICS
    ]


def _body(model: Any, **content: object) -> Any:
    return parsed(model, json.dumps(content).encode())


def _window(ready: ReadyModel) -> list[Any]:
    return [[[LEVEL] * ready.manifest.width for _ in range(max(SAMPLES, ready.family.least_rows))]]


_INSTANCES: dict[Asking, Callable[[ReadyModel], list[Any]]] = {
    Asking.ROWS: lambda _: healthy_rows(1, 1).tolist(),
    Asking.ENGINE_ROWS: lambda _: [list(SILENT_ROW)],
    Asking.WINDOWS: _window,
}


@contextmanager
def _not_stopped(**what: str) -> Iterator[None]:
    try:
        yield
    except AiopsError as error:
        log.info("warm-up", **what, error=str(error))
    except Exception:
        log.exception("warm-up", **what)
