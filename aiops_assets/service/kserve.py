"""Routes of KServe's inference protocols, V1 and V2, for every model of the process.

Source: engine contract, section 2.1; KServe's "Open Inference Protocol" for V2.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from aiops_assets import __version__
from aiops_assets.errors import SchemaError, UnknownModel
from aiops_assets.families.contract import Asking
from aiops_assets.judging.detection.task import DETECTION
from aiops_assets.judging.forecasting.task import FORECASTING
from aiops_assets.learners.forecasters.hourly_baseline import HourlyBaseline
from aiops_assets.service import answers, bodies
from aiops_assets.service.inference import Answer, Question, infer, is_quick
from aiops_assets.service.instances import tensor
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.pool import ModelPool
from aiops_assets.service.ready import ReadyModel
from aiops_assets.service.wire import PROBLEMS, json_answer, json_object, takes
from aiops_assets.service.workers import Workers

SERVER = "aiops-assets"
QUICK_BYTES = 2**17
"""Largest body that is read in less time than it takes to start a thread."""
PLATFORMS = {"scikitlearn": "sklearn"}
INPUT_SHAPES: dict[Asking, Callable[[int], list[int]]] = {
    Asking.ROWS: lambda width: [width],
    Asking.ENGINE_ROWS: lambda width: [-1],  # 3264, 5, 4 or 3
    Asking.WINDOWS: lambda width: [-1, width],
}
"""Shape of one instance, from the manifest's width."""
OUTPUTS = {
    DETECTION.name: (("predictions", "INT64", False), ("scores", "FP64", False)),
    FORECASTING.name: (("forecast", "FP64", True),),
}
"""Outputs in V2: name, datatype, and whether there is one per metric."""


class _Protocols:
    """What both protocols have in common: see :func:`kserve_routes` for the arguments."""

    def __init__(
        self,
        pool: ModelPool,
        instruments: Instruments,
        workers: Workers,
        horizon: int,
        clock: Callable[[], datetime],
        cluster: Callable[[], HourlyBaseline],
    ) -> None:
        self._pool, self._instruments, self._workers = pool, instruments, workers
        self._horizon, self._clock, self._cluster = horizon, clock, cluster

    def _inferred(self, ready: ReadyModel, instances: object) -> Answer:
        answer = infer(ready, Question(instances, self._horizon, self._clock(), self._cluster))
        _count(self._instruments, ready, answer)
        return answer

    def v1(self, name: str, ready: ReadyModel, body: dict[str, Any]) -> dict[str, Any]:
        instances = body.get("instances", body.get("inputs"))
        if instances is None:
            raise SchemaError('instances is missing: send {"instances": [...]}')
        answer = self._inferred(ready, instances)
        content: dict[str, Any] = {
            "predictions": answer.predictions,
            **ready.origin,
            "model_name": name,
            "timestamp": self._clock(),
        }
        if answer.notes:
            content["notes"] = [note.text for note in answer.notes]
        return {**content, "scores": answer.scores} if answer.scores else content

    def v2(self, name: str, ready: ReadyModel, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._inferred(ready, tensor(body.get("inputs")))
        parameters = {key: ready.origin[key] for key in ("data_version", "effective_source")}
        if answer.notes:
            parameters["notes"] = "; ".join(note.text for note in answer.notes)
        return {
            "model_name": name,
            "model_version": ready.origin["model_version"],
            "id": str(body.get("id") or ""),
            "outputs": _tensors(answer),
            "parameters": parameters,
        }

    def found(self, name: str, version: str) -> ReadyModel:
        """The model, if it is served in this version; an empty one is any."""
        ready = self._pool.get(name)
        served = ready.origin["model_version"]
        if version not in ("", served):
            raise UnknownModel(f"{name} is served in version {served}, and in no other: ask for it, or for none")
        return ready

    async def respond(
        self, name: str, request: Request, protocol: Callable[..., dict[str, Any]], version: str = ""
    ) -> Response:
        data = await request.body()
        ready, named = self.found(name, version), self._pool.shown_name(name)
        if len(data) <= QUICK_BYTES:
            body = json_object(data)
            if is_quick(ready, body):
                return json_answer(protocol(named, ready, body))
        # Quick models must not wait for slow ones.
        lane = self._workers.light if ready.family.is_quick else self._workers.heavy
        return await self._workers.run(lane, lambda: protocol(named, ready, json_object(data)))


def kserve_routes(
    pool: ModelPool,
    instruments: Instruments,
    workers: Workers,
    horizon: int,
    clock: Callable[[], datetime],
    cluster: Callable[[], HourlyBaseline] = HourlyBaseline,
) -> APIRouter:
    """The routes of both protocols.

    Args:
        pool: the models.
        instruments: counts predictions.
        workers: threads for slow models and large bodies.
        horizon: steps of a forecast.
        clock: returns the present time with an offset, at which windows end.
        cluster: returns the cluster's utilisation by hour; by default nothing is known.
    """
    router = APIRouter(responses=PROBLEMS)
    protocols = _Protocols(pool, instruments, workers, horizon, clock, cluster)
    _add_v1(router, pool, protocols)
    _add_v2(router, pool, protocols)
    return router


def _add_v1(router: APIRouter, pool: ModelPool, protocols: _Protocols) -> None:
    @router.get("/v1/models", response_model=answers.Models, tags=["KServe V1"])
    async def models() -> Response:
        """The names of all models of this process, also of those that cannot answer yet."""
        return json_answer({"models": list(pool.specs)})

    @router.get("/v1/models/{name}", response_model=answers.ModelMetadata, tags=["KServe V1"])
    async def model(name: str) -> Response:
        """200 when the model can answer: a version passed its smoke inference. 503 when none did yet."""
        return json_answer(metadata(pool.get_warm(name), pool.shown_name(name)))

    @router.post(
        "/v1/models/{name}:predict",
        response_model=answers.V1Answer,
        tags=["KServe V1"],
        openapi_extra=takes(bodies.PredictRequest),
    )
    async def predict(name: str, request: Request) -> Response:
        """Rows for anomaly-detector (45 or 3) and predictive-analytics (3264, 5, 4 or 3), windows for all others."""
        return await protocols.respond(name, request, protocols.v1)


def _add_v2(router: APIRouter, pool: ModelPool, protocols: _Protocols) -> None:
    @router.get("/v2", response_model=answers.Server, tags=["KServe V2"])
    async def server() -> Response:
        """The server's name and version."""
        return json_answer({"name": SERVER, "version": __version__, "extensions": []})

    @router.get("/v2/health/live", response_model=answers.Live, tags=["KServe V2"])
    async def live() -> Response:
        """200 while the process runs."""
        return json_answer({"live": True})

    @router.get(
        "/v2/health/ready",
        response_model=answers.Ready,
        tags=["KServe V2"],
        responses={503: {"model": answers.NotReady, "description": "Not yet; `error` has the reason of each model."}},
    )
    async def server_ready() -> Response:
        """200 when every champion was tried and some model can answer: what one lacks must not take down the others.

        The service has made its own first requests then, which take seconds.
        """
        if pool.can_answer:
            return json_answer({"ready": True})
        waiting = ", ".join(f"{name}: {problem.text}" for name, problem in dict(pool.problems).items())
        return json_answer({"ready": False, "error": waiting or "models are being loaded"}, 503)

    @router.get("/v2/models/{name}", response_model=answers.ModelMetadata, tags=["KServe V2"])
    async def model_metadata(name: str) -> Response:
        """What a model takes and gives."""
        return json_answer(metadata(pool.get(name), pool.shown_name(name)))

    @router.get("/v2/models/{name}/ready", response_model=answers.ModelReady, tags=["KServe V2"])
    async def model_ready(name: str) -> Response:
        """200 when the model can answer, else 503."""
        return json_answer({"name": pool.shown_name(name), "ready": bool(pool.get_warm(name))})

    @router.get("/v2/models/{name}/versions/{version}", response_model=answers.ModelMetadata, tags=["KServe V2"])
    async def version_metadata(name: str, version: str) -> Response:
        """The same, if this version is served; else 404."""
        return json_answer(metadata(protocols.found(name, version), pool.shown_name(name)))

    @router.get("/v2/models/{name}/versions/{version}/ready", response_model=answers.ModelReady, tags=["KServe V2"])
    async def version_ready(name: str, version: str) -> Response:
        """200 when this version can answer; 404 when another one is served."""
        return json_answer({"name": pool.shown_name(name), "ready": bool(protocols.found(name, version))})

    @router.post(
        "/v2/models/{name}/infer",
        response_model=answers.InferAnswer,
        tags=["KServe V2"],
        openapi_extra=takes(bodies.InferRequest),
    )
    async def infer_v2(name: str, request: Request) -> Response:
        """One input tensor: [rows, width] for row models, [windows, rows, width] or one window for all others."""
        return await protocols.respond(name, request, protocols.v2)

    @router.post(
        "/v2/models/{name}/versions/{version}/infer",
        response_model=answers.InferAnswer,
        tags=["KServe V2"],
        openapi_extra=takes(bodies.InferRequest),
    )
    async def infer_v2_version(name: str, version: str, request: Request) -> Response:
        """The same, if this version is served; else 404: a promotion may come between two requests."""
        return await protocols.respond(name, request, protocols.v2, version)


def metadata(ready: ReadyModel, name: str) -> dict[str, Any]:
    """The metadata of a model in V1 and V2, under the name that it was requested by."""
    manifest = ready.manifest
    metrics = len(ready.family.contributors)
    outputs = [
        {"name": name, "datatype": datatype, "shape": [-1, metrics] if by_metric else [-1]}
        for name, datatype, by_metric in OUTPUTS[ready.family.task.name]
    ]
    return {
        "name": name,
        "versions": [ready.origin["model_version"]],
        "platform": PLATFORMS.get(ready.family.framework, ready.family.framework),
        "inputs": [
            {"name": "instances", "datatype": "FP64", "shape": [-1, *INPUT_SHAPES[ready.family.asking](manifest.width)]}
        ],
        "outputs": outputs,
        "ready": True,
        "lookback": ready.family.least_rows,
        "features": list(manifest.features),
        "units": {name: manifest.units.get(name, unit) for name, unit in ready.family.units.items()},
        "origin": ready.origin,
        "loaded": ready.loaded.isoformat(),
    }


def _tensors(answer: Answer) -> list[dict[str, Any]]:
    if type(answer.predictions) is list:
        outputs = [_tensor("predictions", "INT64", np.array(answer.predictions))]
        if answer.scores:
            outputs.append(_tensor("scores", "FP64", np.array(answer.scores)))
        return outputs
    assert isinstance(answer.predictions, dict)
    metrics = list(answer.predictions)
    sides = [("forecast", "forecast"), ("confidence", "confidence")]
    outputs = [
        _tensor(name, "FP64", np.array([answer.predictions[metric][key] for metric in metrics]).T)
        for name, key in sides
    ]
    return [*outputs, {"name": "metrics", "datatype": "BYTES", "shape": [len(metrics)], "data": metrics}]


def _tensor(name: str, datatype: str, values: "np.ndarray[Any, np.dtype[Any]]") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(values.shape), "data": values.ravel().tolist()}


def _count(instruments: Instruments, ready: ReadyModel, answer: Answer) -> None:
    name = ready.spec.name
    if type(answer.predictions) is not list:
        instruments.predictions.labels(name, "forecast").inc()
        return
    anomalies = answer.predictions.count(-1)
    if anomalies:
        instruments.predictions.labels(name, "anomaly").inc(anomalies)
    if anomalies < len(answer.predictions):
        instruments.predictions.labels(name, "normal").inc(len(answer.predictions) - anomalies)
    if ready.family.threshold is not None:  # scores with a moving threshold mean nothing without their time
        observe = instruments.scores.labels(name).observe
        for score in answer.scores[:64]:  # some scores of a batch are enough
            observe(score)
