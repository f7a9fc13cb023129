"""A training set whose inputs are those of the stored one is taken as it is stored, and not built again.

The inputs are put into one digest (:func:`inputs_of`): all code of this package, the libraries that compute, the
settings, the recipe of generated rows, the window, the metrics' definitions, and the content of each day file that a
build reads. What is in doubt has no digest, and is built: a server that could not be reached, a damaged day, code that
changed while this process runs. So a stored set never stands in for another one; at worst equal rows are built twice.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from aiops_assets.datasets.identity import require_one_cluster
from aiops_assets.datasets.known import NODE_METRICS
from aiops_assets.datasets.source_rule import require_fetched, training_set
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.settings import Settings
from aiops_assets.storage.day_info import DayInfo
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.storage.records import SyntheticRecipe, TrainingSetRecord
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.storage.workloads import Workloads
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.schema import DIGEST_BYTES
from aiops_assets.views.catalog import View

LIBRARIES = (f"python {platform.python_version()}", np.__version__, pd.__version__, pa.__version__)
"""What computes and writes rows; another release may round in another way."""
PLACES = {"aiops_home", "model_root", "mlflow_tracking_uri"}
"""Settings that say where things lie, and not what they are: a home may be moved."""
PACKAGE = str(Path(__file__).resolve().parents[1])
_imported = time.time()


@dataclass(frozen=True)
class Request:
    """The training set that is wanted.

    Attributes:
        view: its view.
        settings: settings of the blend.
        recipe: recipe of generated rows.
        announced: data version that the asset synthetic_series stated for the recipe.
        days: days of the window, oldest first.
    """

    view: View
    settings: Settings
    recipe: SyntheticRecipe
    announced: str
    days: Sequence[date]


@dataclass(frozen=True)
class TrainingSet:
    """A stored training set.

    Attributes:
        record: where the rows come from.
        is_reused: an earlier run built it.
    """

    record: TrainingSetRecord
    is_reused: bool
    _sets: TrainingSets
    _built: pd.DataFrame | None = None

    @property
    def rows(self) -> pd.DataFrame:
        """The rows, which are read when they are needed; file and content are checked once per process.

        Raises:
            IntegrityError: they are not those that were stored, although nobody wrote them: the next call of
                :func:`stored_training_set` builds them anew.
        """
        return self._built if self._built is not None else self._sets.rows(self.record.view, self.record.data_version)


def stored_training_set(request: Request, name: str, lake: Lake, sets: TrainingSets, now: datetime) -> TrainingSet:
    """The training set, built and stored unless the newest one of this name has the same inputs and is intact.

    Args:
        request: what is wanted.
        name: name of the training set, of which the newest build is remembered.
        lake: the lake with fetched days.
        sets: where training sets are stored.
        now: present time.

    Raises:
        AiopsError: see :func:`aiops_assets.datasets.source_rule.training_set`.
        SchemaError: the rows are not those of the view.
    """
    inputs = inputs_of(request, lake, now)
    if inputs and (found := sets.built_of(name, request.view.name, inputs)):
        return TrainingSet(found, is_reused=True, _sets=sets)
    rows, record = training_set(
        request.view, request.settings, request.recipe, request.announced, lake, request.days, now
    )
    request.view.validate(rows)
    signature = sets.put(rows, record)
    # Days that another process wrote meanwhile may be part of the rows, or not.
    if inputs and inputs == inputs_of(request, lake, now):
        sets.note_build(name, inputs, record, signature)
    return TrainingSet(record, is_reused=False, _sets=sets, _built=rows)


def inputs_of(request: Request, lake: Lake, now: datetime) -> str:
    """Digest of all that the rows and their record are made of, 32 hex digits; empty where any of it is in doubt.

    Raises:
        IntegrityError: the days are of several clusters.
        NotFoundError: the window was not fetched yet.
        SettingsError: no server where one is needed.
    """
    settings, view = request.settings, request.view
    stored: dict[str, str] | None = {}
    if settings.mode != "synthetic":
        stored = _days_of(request, lake, now)
    code = digest_of_code()
    if stored is None or not code:
        return ""
    facts = {
        "code": code,
        "libraries": LIBRARIES,
        "settings": settings.model_dump(mode="json", exclude=PLACES),
        "view": view.name,
        "metrics": [repr(metric) for metric in (*view.metrics, *settings.queried(view.metrics))],
        "recipe": request.recipe.model_dump(mode="json"),
        "announced": request.announced,
        "window": [day.isoformat() for day in request.days],
        "stored": stored,
    }
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=DIGEST_BYTES).hexdigest()


def metrics_read(view: View) -> tuple[MetricSpec, ...]:
    """The metrics whose day files a build of a view reads: its own, and those that tell how many nodes there were."""
    nodes = [spec for metric in NODE_METRICS for spec in (metric, metric.members)]
    return tuple(dict.fromkeys((*view.metrics, *nodes)))


def _days_of(request: Request, lake: Lake, now: datetime) -> dict[str, str] | None:
    """Metric, query and day -> digest of its file, empty where there is none; pod -> workload. ``None``: in doubt."""
    settings, view = request.settings, request.view
    outcome = lake.last_fetch()
    if settings.end > now or outcome is None or not outcome.reached:
        return None
    found: dict[str, str] = {}
    infos: dict[date, list[DayInfo]] = {day: [] for day in request.days}
    for metric in metrics_read(view):
        stored = readable_days(lake, metric)
        for day in request.days:
            asked = stored.get(day, metric)
            name = f"{metric.name} {lake.query_of(asked)} {day}"
            try:
                info, found[name] = lake.fingerprint(asked, day)
            except NotFoundError:
                found[name] = ""
                continue
            except IntegrityError:
                return None
            if metric in view.metrics:
                infos[day].append(info)
    closed = {day for day, of_day in infos.items() if of_day and all(info.closed for info in of_day)}
    require_one_cluster(lake, [info.cluster_id for of_day in infos.values() for info in of_day])
    require_fetched(settings, outcome, request.days, closed)
    return found | Workloads(lake.storage, lake.cluster).of(request.days)


@cache
def digest_of_code() -> str:
    """Digest of all Python files of this package; empty where one has changed since this process imported them.

    Their bytes are read, and not their syntax as a fit's digest does (:mod:`aiops_assets.registry.code_digest`): that
    takes a second, sixty times as long, and a changed comment costs no more here than one build of equal rows.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    files = sorted(f"{folder}/{name}" for folder, _, names in os.walk(PACKAGE) for name in names if name[-3:] == ".py")
    for path in files:
        with Path(path).open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_mtime >= _imported:
                return ""
            content = file.read()
        digest.update(f"{path[len(PACKAGE) + 1 :]} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest() if files else ""
