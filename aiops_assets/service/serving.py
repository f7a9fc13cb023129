"""Creates the service from settings, and runs it."""

import gc
import logging
import resource
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson
import structlog
import uvicorn
from fastapi import FastAPI

from aiops_assets.datasets.selection import active_models
from aiops_assets.errors import SettingsError
from aiops_assets.families.catalog import MODEL_NAMES, named
from aiops_assets.reporting.exposition import ScoresCollector
from aiops_assets.reporting.metric_exposition import MetricCollector
from aiops_assets.service.app import create_app
from aiops_assets.service.band_exposition import BandCollector
from aiops_assets.service.cluster_hours import ClusterHours
from aiops_assets.service.connections import Connections, LimitedProtocol, Limits
from aiops_assets.service.correlation import add_ids
from aiops_assets.service.demo import demo_clock, demo_pool
from aiops_assets.service.demo_scores import demo_findings
from aiops_assets.service.drift_exposition import DriftCollector
from aiops_assets.service.engine import Engine
from aiops_assets.service.histories import LakeHistories
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.newest_findings import NewestFindings
from aiops_assets.service.pool import ModelPool
from aiops_assets.service.remote_write_exposition import RemoteWriteCollector
from aiops_assets.service.traces import traces_to
from aiops_assets.service.versions import ChampionSource, MountedSource, VersionSource
from aiops_assets.service.warming import warm_model
from aiops_assets.settings import Settings
from aiops_assets.storage.drift import DriftStore
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.scores import Scores
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.signatures import Keys
from aiops_assets.storage.storage import open_storage
from aiops_assets.storage.written_back import WriteBacks

GRACE_SECONDS = 20
"""Time for running requests after SIGTERM, seconds; a kubelet kills after 30."""
KEEP_ALIVE_SECONDS = 95
"""Lifetime of idle connections, seconds: longer than that of Go's pool (90 s), so that the client closes first."""
OWN_FILES = 96
"""Files that the service itself may have open at once: models, histories, scores, log, and what libraries hold."""
BACKLOG = 2048
"""Most connections that the kernel keeps until they are accepted; all of them may be accepted at once."""

log = structlog.get_logger("aiops.service")


def _now() -> datetime:
    return datetime.now(UTC)


def app_of(settings: Settings, model: str = "", directory: Path | None = None, *, demo: bool = False) -> FastAPI:
    """The application according to settings.

    Args:
        settings: settings of the environment.
        model: serve this model only, as a predictor container does; empty: all models.
        directory: directory of the version of ``model`` to serve, whatever is champion; ``None``: the champion.
        demo: serve trivial models instead.

    Raises:
        SettingsError: there is no such model, the API key cannot be read, or traces need an extra.
    """
    _require_key(settings)
    instruments = Instruments()
    instruments.started(settings)
    traces = traces_to(settings.service_traces_url) if settings.service_traces_url else None
    if demo:
        pool: ModelPool = demo_pool(instruments)
        engine = Engine(pool, instruments, demo_clock)
        return create_app(settings, pool, instruments, engine, demo_findings(), traces)
    specs = active_models(settings)
    if model:
        specs = tuple(spec for spec in specs if spec.name == named(model))
        if not specs:
            raise SettingsError(f"--model {model}: there are {', '.join(settings.models or MODEL_NAMES)}")
    # Without the private key: a process that strangers talk to can be made to sign nothing.
    served = ServedModels(open_storage(settings.model_root), Keys(settings.verify_key_file))
    source: VersionSource = MountedSource(directory, served) if directory else ChampionSource(served)
    pool = ModelPool(
        source,
        specs,
        instruments,
        settings.service_poll_seconds,
        only=bool(model),
        warm_model=lambda ready: warm_model(ready, settings.forecast_horizon, _now()),
    )
    home = open_storage(settings.aiops_home)
    scores = Scores(home, settings.cluster)
    newest = NewestFindings(scores, _now, settings.service_poll_seconds)
    instruments.registry.register(ScoresCollector(scores))
    instruments.registry.register(BandCollector(newest))
    instruments.registry.register(DriftCollector(DriftStore(home, settings.cluster), settings.cluster))
    instruments.registry.register(MetricCollector(scores))
    instruments.registry.register(RemoteWriteCollector(WriteBacks(home, settings.cluster), settings.cluster))
    lake = Lake(home, settings.cluster, settings.prometheus_matcher)
    histories, cluster = LakeHistories(lake, _now), ClusterHours(lake, _now)
    engine = Engine(
        pool, instruments, _now, histories, cluster=cluster, newest=newest.get, of_cluster=settings.wants_days
    )
    return create_app(settings, pool, instruments, engine, newest, traces)


def _require_key(settings: Settings) -> None:
    """Raise SettingsError if the API key cannot be read, with which every request would be rejected."""
    file = settings.service_api_key_file
    try:
        if file is not None and not file.read_bytes().strip():
            raise SettingsError(f"SERVICE_API_KEY_FILE={file} is empty: write a key into it")
    except OSError as error:
        raise SettingsError(f"SERVICE_API_KEY_FILE={file} cannot be read ({error.strerror})") from None


def serve(
    settings: Settings, host: str, port: int, model: str = "", directory: Path | None = None, *, demo: bool = False
) -> None:
    """Listen until SIGTERM or SIGINT, then finish running requests."""
    log_as_json()
    app = app_of(settings, model, directory, demo=demo)
    app.state.when_warm = keep_for_good
    most, backlog = open_connections(settings.service_max_connections)
    limits = Limits(most, settings.service_max_head_bytes, settings.service_head_seconds, KEEP_ALIVE_SECONDS)
    protocol = partial(LimitedProtocol, Connections(limits, app.state.refusals))
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=protocol,  # type: ignore[arg-type]  # whatever makes a protocol will do
        ws="none",
        backlog=backlog,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        server_header=False,
        date_header=False,
    )


def keep_for_good() -> None:
    """Take what there is now out of Python's search for garbage, which else stops all requests for a third of a second.

    Modules and models are a million objects that stay. What is no longer used of them is freed all the same, but for
    cycles.
    """
    gc.collect()
    gc.freeze()


def open_connections(wanted: int) -> tuple[int, int]:
    """How many connections may be open and how many wait in the kernel, within the limit of open files.

    The limit is raised as far as it may be. Connections are accepted in bursts, before the first of them can be closed:
    so those that wait need files too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + BACKLOG + OWN_FILES
    files = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and files > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    free = max(files - OWN_FILES, 16)
    backlog = min(BACKLOG, max(free // 3, 8))
    most = min(wanted, free - backlog)
    if most < wanted:
        log.warning("fewer connections than SERVICE_MAX_CONNECTIONS", wanted=wanted, most=most, open_files=hard)
    return most, backlog


def log_as_json() -> None:
    """Log one JSON object per line to stderr, also for uvicorn and libraries."""
    shared: Sequence[structlog.typing.Processor] = [
        add_ids,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_json),
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _json(event: object, **_: object) -> str:
    return orjson.dumps(event, default=str).decode()
