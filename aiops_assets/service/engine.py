"""Answers the engine's three kinds of requests: anomalies, predictions and patterns.

Source: engine contract, section 2.2. The logic is in :mod:`aiops_assets.engine`; this module passes the ready models to
it and builds the answers.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from aiops_assets.engine.detection.anomalies import Detection, detect
from aiops_assets.engine.each_pod import detect_each, issues_each, predict_each
from aiops_assets.engine.events.reading import read_events
from aiops_assets.engine.events.state import read_state
from aiops_assets.engine.first_day import (
    GENERATED,
    MOST_COLD_PODS,
    before_belief,
    by_cold_start,
    less_sure,
    less_sure_predictions,
)
from aiops_assets.engine.models import COLD_START, FORECASTER, ROW_DETECTOR, WINDOW_DETECTOR, Basis
from aiops_assets.engine.pattern_analysis.patterns import analyze
from aiops_assets.engine.pods import groups_of
from aiops_assets.engine.prediction.forecast_cache import ForecastCache
from aiops_assets.engine.prediction.issues import IssueOutlook, predicted_issues, with_times
from aiops_assets.engine.prediction.predictions import Predictions, predict
from aiops_assets.engine.prediction.sent_histories import require_answerable
from aiops_assets.engine.samples import Sample
from aiops_assets.judging.statements import Statement
from aiops_assets.learners.forecasters.hourly_baseline import HourlyBaseline
from aiops_assets.registry.findings import Findings
from aiops_assets.service import answers, bodies
from aiops_assets.service.histories import LakeHistories
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.pool import ModelPool
from aiops_assets.service.ready import ReadyModel
from aiops_assets.service.stored_verdicts import stored_verdict
from aiops_assets.service.wire import PROBLEMS, json_answer, parsed, takes
from aiops_assets.service.workers import Workers, require_wanted
from aiops_assets.timeseries.pod_identity import pod_text, split_pod

NOT_CALIBRATED: Basis = "not calibrated"
QUICK_METRICS, QUICK_BYTES = 64, 2**14
"""Most metrics with one sample each, and most bytes, that are judged in less time than it takes to start a thread."""


class Engine:
    """Answers requests with the models that are ready.

    Args:
        pool: the models.
        instruments: counts anomalies.
        clock: returns the present time, with an offset.
        histories: histories of pods; ``None``: none are used.
        cluster: returns the cluster's utilisation by hour; by default nothing is known.
        newest: returns the newest run of scores, by which pods without samples are judged; ``None``: there is none.
        of_cluster: whether a cluster's own days are fetched: models of generated rows alone are less sure then.
    """

    def __init__(
        self,
        pool: ModelPool,
        instruments: Instruments,
        clock: Callable[[], datetime],
        histories: LakeHistories | None = None,
        *,
        cluster: Callable[[], HourlyBaseline] = HourlyBaseline,
        newest: Callable[[], Findings] | None = None,
        of_cluster: bool = False,
    ) -> None:
        self.cluster = cluster
        self._newest = newest
        self._pool = pool
        self._instruments = instruments
        self.clock = clock
        self._of_cluster = of_cluster
        self.histories = histories

    def problems(self) -> list[Statement]:
        """Why histories cannot be read, for /health; empty when they can."""
        return [self.histories.problem] if self.histories and self.histories.problem else []

    def is_quick(self, body: bodies.DetectBody) -> bool:
        """Whether the answer takes well under a millisecond."""
        metrics = body.metrics
        if len(metrics) > QUICK_METRICS or (self.histories and body.context):
            return False
        # With labels there may be several pods, each of which is judged.
        return len({metric.name for metric in metrics if not metric.labels}) == len(metrics)

    def detect(self, body: bodies.DetectBody) -> dict[str, Any]:
        """The answer of :func:`aiops_assets.engine.detection.anomalies.detect` for each pod.

        Raises:
            ServiceNotReady: no row detector is ready yet.
        """
        row_detector = self._pool.get(ROW_DETECTOR)
        context = {name: str(value) for name, value in (body.context or {}).items() if value is not None}
        used, window, now = [row_detector], self._pool.ready.get(WINDOW_DETECTOR), self.clock()

        samples = bodies.samples_of(body.metrics)
        groups, namespace = groups_of(samples, now), context.get("namespace", "")

        def stored_as(pod: str) -> str:
            own, name = split_pod(pod or context.get("resource", ""))
            return pod_text(own or namespace, name)

        pods = {stored_as(""), *(stored_as(group.pod) for group in groups)} - {""}
        histories = self.histories.of(pods) if self.histories and window and pods else {}
        threshold = before_belief(body.threshold) if self._strangers(row_detector) else body.threshold

        def judge(samples: list[Sample], pod: str = "") -> Detection:
            require_wanted()
            history = histories.get(stored_as(pod))
            if window and history is not None and window not in used:
                used.append(window)
            return detect(
                samples,
                row_detector.model,
                now=now,
                threshold=threshold,
                window=window.model if window else None,
                history=history,
                context=context,
            )

        if not samples:
            found = stored_verdict(self._newest, namespace, context.get("resource", ""), context, now)
            used = []
        elif groups:
            found = detect_each(groups, lambda group: judge(group.samples, group.pod), context, len(samples))
        else:
            found = judge(samples)
        if strangers := self._strangers(*used):
            found = less_sure(found, strangers)
        for anomaly in found.anomalies:
            self._instruments.anomalies.labels(anomaly.severity).inc()
        return {
            "anomaly_detected": found.anomaly_detected,
            "confidence": found.confidence,
            "anomaly_score": found.anomaly_score,
            "recommendations": _texts(found.recommendations),
            "confidence_basis": NOT_CALIBRATED,
            "anomalies": [asdict(anomaly) | {"confidence_basis": NOT_CALIBRATED} for anomaly in found.anomalies],
            "summary": {
                "total": found.total,
                "anomalies_found": found.anomalies_found,
                "high_severity": found.high_severity,
                "confidence": found.confidence,
            },
            "not_judged": found.not_judged,
            "judged_by": found.judged_by,
            "notes": _texts(found.notes),
            "models": [ready.origin for ready in used],
        }

    def predict(self, body: bodies.PredictBody) -> dict[str, Any]:
        """Predictions and issues; without a forecaster they follow from robust lines, and a note says so."""
        samples = bodies.samples_of([*body.historical_metrics, *body.metrics])
        require_answerable(samples)
        context, now = body.issue_context, self.clock()
        groups = groups_of(samples, now)
        forecaster = self._forecaster(len(groups))
        model = ForecastCache(forecaster.model) if forecaster else None
        row_detector = self._pool.ready.get(ROW_DETECTOR)
        events = read_events(context.recent_events if context else (), now, "recent_events")
        state = read_state(context.current_state if context else None, now)

        def predict_samples(samples: list[Sample]) -> Predictions:
            require_wanted()
            return predict(samples, body.predict_ahead, model, now=now)

        def predict_issues(samples: list[Sample]) -> IssueOutlook:
            require_wanted()
            seen: list[str] = []
            if row_detector is not None:  # present anomalies are evidence for issues, like present events
                seen = [anomaly.kind for anomaly in detect(samples, row_detector.model, now=now).anomalies]
            return predicted_issues(samples, events, state, model, now=now, detected=seen)

        found = predict_each(groups, predict_samples) if groups else predict_samples(samples)
        if forecaster and forecaster.spec.name == COLD_START:
            found = by_cold_start(found)
        if strangers := self._strangers(forecaster):
            found = less_sure_predictions(found, strangers)
        if context and context.metrics:
            samples = with_times([*samples, *bodies.samples_of(context.metrics)], now)
            require_answerable(samples)
            groups = groups_of(samples, now)
        outlook = issues_each(groups, predict_issues) if groups else predict_issues(samples)
        issues = [
            vars(one) | {"reasons": _texts(one.reasons), "confidence_basis": NOT_CALIBRATED}
            for one in outlook.predicted_issues
        ]
        return {
            "predictions": [asdict(one) for one in found.predictions],
            "summary": asdict(found.summary),
            "notes": _texts([*found.notes, *outlook.notes]),
            "predicted_issues": issues,
            "suggested_actions": outlook.suggested_actions,
            "models": _origins(forecaster, row_detector),
        }

    def _strangers(self, *used: ReadyModel | None) -> list[str]:
        """Those models that have seen no row of the cluster whose days are fetched."""
        known = [model for model in used if model and self._of_cluster]
        return [model.spec.name for model in known if model.manifest.effective_source == GENERATED]

    def _forecaster(self, pods: int) -> ReadyModel | None:
        """The forecaster for requests of so many pods: that of the first days until there is a better one."""
        forecaster, cold = self._pool.ready.get(FORECASTER), self._pool.ready.get(COLD_START)
        if forecaster and not self._strangers(forecaster):
            return forecaster
        return cold if cold and self._of_cluster and pods <= MOST_COLD_PODS else forecaster

    def analyze(self, body: bodies.AnalyzeBody) -> dict[str, Any]:
        """The answer of :func:`aiops_assets.engine.pattern_analysis.patterns.analyze`, which uses no model."""
        span, data = body.time_range, body.historical_data
        found = analyze(
            bodies.samples_of(body.metrics),
            start=span.start if span else None,
            end=span.end if span else None,
            event_range=data.time_range if data else None,
            analysis_type=body.analysis_type,
            events=data.events if data else (),
            now=self.clock(),
        )
        return {
            "patterns": [vars(one) | {"description": one.description.text} for one in found.patterns],
            "insights": _texts(found.insights),
            "correlations": [asdict(one) for one in found.correlations],
            "summary": {"patterns_found": found.patterns_found, "confidence": found.confidence},
        }


def _texts(statements: Iterable[Statement]) -> list[str]:
    return [one.text for one in statements]


def _origins(*models: ReadyModel | None) -> Sequence[dict[str, str]]:
    return [model.origin for model in models if model is not None]


def engine_routes(engine: Engine, workers: Workers) -> APIRouter:
    """The routes below /api/v1."""
    router = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["Engine"])

    @router.post("/anomaly/detect", response_model=answers.DetectAnswer, openapi_extra=takes(bodies.DetectBody))
    async def anomaly_detect(request: Request) -> Response:
        """Which metrics are not normal, what was expected, why, and what to do."""
        data = await request.body()
        if len(data) <= QUICK_BYTES:
            body = parsed(bodies.DetectBody, data)
            if engine.is_quick(body):
                return json_answer(engine.detect(body))
            return await workers.run(workers.light, lambda: engine.detect(body))
        return await workers.run(workers.light, lambda: engine.detect(parsed(bodies.DetectBody, data)))

    @router.post("/prediction/predict", response_model=answers.PredictAnswer, openapi_extra=takes(bodies.PredictBody))
    async def prediction_predict(request: Request) -> Response:
        """Forecasts of metrics, and the issues that follow from a situation: how likely and how soon."""
        data = await request.body()
        return await workers.run(workers.heavy, lambda: engine.predict(parsed(bodies.PredictBody, data)))

    @router.post("/pattern/analyze", response_model=answers.AnalyzeAnswer, openapi_extra=takes(bodies.AnalyzeBody))
    async def pattern_analyze(request: Request) -> Response:
        """Trends, seasons, spikes, change points and correlations; which layer is affected."""
        data = await request.body()
        return await workers.run(workers.heavy, lambda: engine.analyze(parsed(bodies.AnalyzeBody, data)))

    return router
