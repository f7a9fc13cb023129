"""The application: routes, error responses, the gate before them, and the life cycle of the model pool."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from inspect import signature
from time import monotonic
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route

from aiops_assets import __version__
from aiops_assets.errors import AiopsError
from aiops_assets.service import answers
from aiops_assets.service.correlation import Correlation
from aiops_assets.service.documents import METRICS_ANSWER, document
from aiops_assets.service.encodings import Decoding
from aiops_assets.service.engine import Engine, engine_routes
from aiops_assets.service.explain import explain_routes
from aiops_assets.service.gate import BodyLimits, Gate
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.kserve import kserve_routes
from aiops_assets.service.newest_findings import NewestFindings
from aiops_assets.service.pool import WARMING, ModelPool
from aiops_assets.service.refusals import Refusals
from aiops_assets.service.traces import Traces
from aiops_assets.service.warming import warm_up
from aiops_assets.service.wire import PROBLEMS, error_answer, json_answer, status_of
from aiops_assets.service.workers import Workers
from aiops_assets.settings import Settings

DESCRIPTION = """Anomalies, forecasts and patterns of a cluster's metrics, by models that were trained on it.

`/api/v1` is for the engine, `/v1` and `/v2` are KServe's protocols. Each answer names the version that made it,
the data version it was trained on, and where those data came from. Each error is `{"error": "..."}`."""

log = structlog.get_logger("aiops.service")


def create_app(
    settings: Settings,
    pool: ModelPool,
    instruments: Instruments,
    engine: Engine,
    newest: NewestFindings,
    traces: Traces | None = None,
) -> FastAPI:
    """The application of the service.

    Args:
        settings: limits and the API key.
        pool: the models; started and stopped with the application.
        instruments: the metrics of /metrics.
        engine: answers the engine's three kinds of requests.
        newest: the newest run of scores, which explains alerts.
        traces: records requests; ``None``: they are not recorded.
    """

    def first_requests() -> None:
        warm_up(app, pool, engine, newest, instruments)
        app.state.when_warm()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        pool.start(first_requests)
        if engine.histories:
            engine.histories.start()
        yield
        pool.stop()
        workers.stop()
        if traces:
            await asyncio.to_thread(traces.stop)
        if engine.histories:
            engine.histories.stop()

    # Swagger UI is served by this process: a cluster may have no access to a CDN.
    app = FastAPIOffline(
        title="aiops-assets ML service",
        version=__version__,
        description=DESCRIPTION,
        lifespan=life,
        redoc_url=None,
    )
    workers, refusals = Workers(), Refusals(instruments.refused)
    app.state.refusals = refusals
    app.state.when_warm = lambda: None
    routers = (
        engine_routes(engine, workers),
        explain_routes(newest, workers),
        _life_routes(pool, engine, instruments, workers),
        kserve_routes(pool, instruments, workers, settings.forecast_horizon, engine.clock, engine.cluster),
    )
    short = [_short_way(route) for router in routers for route in router.routes]
    short.sort(key=lambda route: "POST" not in (route.methods or ()))  # the most frequent routes come first
    app.router.routes[:0] = short
    for route in app.routes:  # the documents
        if isinstance(route, APIRoute):
            route.methods = {"GET", "HEAD"}
    for router in routers:
        app.include_router(router)

    @app.exception_handler(AiopsError)
    async def our_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, AiopsError)
        status = status_of(error)
        if status in (422, 500):
            log.warning("no usable answer", path=request.url.path, status=status, error=str(error))
        elif status == 503:
            refusals.note(error.code, path=request.url.path, error=str(error))
        return error_answer(error, {"error": str(error)})

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        text = {404: f"no path {request.url.path}: see /docs", 405: f"{request.method} is not for this path: see /docs"}
        answer = json_answer({"error": text.get(error.status_code, str(error.detail))}, error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    app.add_middleware(Decoding)
    app.add_middleware(
        Gate,
        instruments=instruments,
        refusals=refusals,
        limits=BodyLimits(
            settings.service_max_body_bytes,
            settings.service_max_json_values,
            settings.service_max_inflight_bytes,
            settings.service_timeout_seconds,
        ),
        key_file=settings.service_api_key_file,
    )
    app.add_middleware(Correlation, spans=traces)
    document(app, has_key=settings.service_api_key_file is not None)
    return app


def _life_routes(pool: ModelPool, engine: Engine, instruments: Instruments, workers: Workers) -> APIRouter:
    """``/health`` and ``/metrics``."""
    began = monotonic()
    router = APIRouter(tags=["Life"])

    @router.get("/health", response_model=answers.Health)
    async def health() -> Response:
        """Always 200 while the process runs: what can answer is in ``status`` and ``models``."""
        return json_answer(_health(pool, engine, monotonic() - began))

    @router.get("/metrics", response_class=Response, responses={**PROBLEMS, **METRICS_ANSWER})
    async def metrics() -> Response:
        """For Prometheus: the service itself, and the newest scores and forecasts of the cluster."""
        text = await workers.light.call(lambda: generate_latest(instruments.registry))
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return router


def _short_way(route: BaseRoute) -> Route:
    """The same route without FastAPI's dependency injection, which takes longer than scoring a row.

    It precedes FastAPI's own route, which stays for OpenAPI. Endpoints take a name, a request, or both, and validate
    everything else themselves.
    """
    assert isinstance(route, APIRoute)
    wanted = tuple(signature(route.endpoint).parameters)

    async def answer(request: Request) -> Response:
        request.scope["route"] = route
        given = {"request": request, **request.path_params}
        found: Response = await route.endpoint(**{name: given[name] for name in wanted})
        return found

    return Route(route.path, answer, methods=list(route.methods or ()), include_in_schema=False)


def _health(pool: ModelPool, engine: Engine, uptime: float) -> dict[str, Any]:
    ready, problems = pool.ready, {name: problem.text for name, problem in dict(pool.problems).items()}
    models = {}
    for name in pool.specs:
        found = ready.get(name)
        origin = found.origin if found else {}
        models[name] = {
            "ready": found is not None,
            "version": origin.get("model_version", ""),
            "data_version": origin.get("data_version", ""),
            "effective_source": origin.get("effective_source", ""),
            "problem": problems.get(name, ""),
        }
    all_problems = [f"{name}: {problem}" for name, problem in problems.items()]
    all_problems += [problem.text for problem in engine.problems()]
    if ready and not pool.warm:
        all_problems.append(WARMING.text)
    status = "unavailable" if not pool.can_answer else "degraded" if all_problems else "healthy"
    return {
        "status": status,
        "models": models,
        "problems": all_problems,
        "uptime_seconds": round(uptime, 1),
        "version": __version__,
    }
